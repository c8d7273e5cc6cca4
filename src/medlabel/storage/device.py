"""Where and how torch computes. A module of its own, so that asking does not import a CLIP."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["default_device", "one_thread"]


def default_device() -> str:
    """Return `"cuda"` if torch sees a GPU, else `"cpu"`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one CPU thread while the block runs, as the workers of the jobs do.

    Sums over several threads differ in their last bits, and with them everything that is trained.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
