"""The scale: one file a job, each a thin use of one Ray library.

Ray reads its settings when it is first imported, so those that must be there by then are set here.
"""

import os

# A Ray of our own must listen on loopback alone. Ray calls the setting for this after the systems
# where it is the default; a cluster that is joined has addresses of its own.
if "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
