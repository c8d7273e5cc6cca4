"""The HTTP service: students behind an API and a web page, run by Ray Serve.

In: bundles, and images over HTTP. Out: annotations, people's corrections, an audit log. Imports
`medlabel` and `rayjobs`; only the command line imports it.
"""

import rayjobs  # noqa: F401  (its settings must be there before Ray is imported)
