"""Starting or joining Ray, what a cluster can hold, and the reasons why work on it failed.

In: the environment of the process, resources that some work needs, exceptions of Ray. Out: a
connection, numbers of workers, one-line errors.
"""

from rayjobs.cluster.capacity import await_slots, holds
from rayjobs.cluster.failures import StorageError, is_permanent, one_line_errors, reason_of
from rayjobs.cluster.start import connect, prepare_worker

__all__ = [
    "StorageError",
    "await_slots",
    "connect",
    "holds",
    "is_permanent",
    "one_line_errors",
    "prepare_worker",
    "reason_of",
]
