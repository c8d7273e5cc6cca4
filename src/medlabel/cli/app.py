"""The command line: `medlabel COMMAND`.

Heavy imports wait inside the commands, so that `medlabel --help` answers at once.
"""

import logging
import sys
from typing import Annotated

import typer
from rich.console import Console

from medlabel import __version__
from medlabel.cli.annotate import add_annotation_commands
from medlabel.cli.embed import add_embed
from medlabel.cli.encoding import never_fail_to_print, use_utf8
from medlabel.cli.models import add_model_commands
from medlabel.cli.options import DataRoot, Looks
from medlabel.cli.run import add_run
from medlabel.cli.serve import serve_command
from medlabel.cli.shared import add_looks, console, show_teacher_warnings
from medlabel.cli.sweep import add_sweep
from medlabel.cli.tune import add_tune
from medlabel.errors import MedlabelError, reason

__all__ = ["app", "main"]

app = typer.Typer(
    name="medlabel",
    help="Label medical images without human labour.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"medlabel {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _medlabel(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Label medical images without human labour."""
    show_teacher_warnings()


def _report(
    run_folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder of a finished run, sweep or search.")
    ],
    data_root: DataRoot = None,
    looks: Looks = None,
) -> None:
    """Write the report of a finished run, sweep or search again; Ray is not needed."""
    from medlabel.reports.rebuild import rebuild

    add_looks(looks)
    console.print(f"report: {rebuild(run_folder, data_root)}", soft_wrap=True)


def _version() -> None:
    """Print the version."""
    _print_version(True)


add_run(app)
add_sweep(app)
add_tune(app)
app.command("report")(_report)
add_annotation_commands(app)
app.command("serve")(serve_command)
add_embed(app)
add_model_commands(app)
app.command("version")(_version)


def main() -> None:
    """Run the command line; a user's mistake is reported in one line, with exit code 2."""
    use_utf8()
    never_fail_to_print()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it needs no folder of its own
    errors = Console(stderr=True)
    try:
        app()
    except Exception as error:
        line = _line_of(error)
        if line is None:
            raise
        errors.print(f"error: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("stopped; finished work is kept: run the same command to continue")
        sys.exit(130)


def _line_of(error: Exception) -> str | None:
    """What to say of an error that a user can correct, or that is Ray's; None of a mistake of ours.

    Ray's errors come first: one that carries an error of the system is an `OSError`, too, whose
    text is a traceback.
    """
    if any(kind.__name__ == "RayError" for kind in type(error).__mro__):
        from rayjobs.cluster import reason_of

        return f"{reason_of(error)}; what is finished is kept"
    if not isinstance(error, (MedlabelError, OSError)):
        return None
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return f"{where}{reason(error)}"


if __name__ == "__main__":
    main()
