"""`python -m medlabel.cli`: the same as the `medlabel` command."""

from medlabel.cli.app import main

main()
