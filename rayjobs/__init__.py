"""The jobs on Ray: one file or folder per job, each a thin use of one Ray library.

In: a job's configuration. Out: folders of runs, sweeps, searches, annotations and embeddings.
Imports `medlabel` but not `medlabel.cli` and `medlabel.jobs`.

Ray reads its settings when it is first imported, so those that must be there by then are set here.
"""

import os

# A Ray of our own must listen on loopback alone. Ray calls the setting for this after the systems
# where it is the default; a cluster that is joined has addresses of its own.
if "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
