"""What the jobs on Ray Data share: how sources are listed, work is cut, and workers find room."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext, Dataset

from medlabel.data.listing import Part, list_parts
from medlabel.errors import MedlabelError
from medlabel.storage.progress import OnProgress, StageProgress
from rayjobs.cluster import one_line_errors

__all__ = [
    "READING",
    "WORKING",
    "Replicas",
    "a_block_a_row",
    "blocks",
    "cpus",
    "drain",
    "list_sources",
    "own_device",
    "working_cpus",
]

READING = 0.25  # CPUs a reader asks for, so that readers and workers both find room on two
WORKING = 0.5  # and a worker; unlike the readers', or Ray Data would make one stage of both
_WORKING_ON_GPU = 0.125


@dataclass(frozen=True)
class Replicas:
    """How many copies of the model encode, and what each takes.

    Attributes:
        workers: copies; None for as many as the cluster's GPUs (or else CPUs) can hold.
        gpus: of each copy, such as 0.5 for two on a GPU; None for 1 where there are GPUs.
        batch_size: images the model sees at once; None for 256 on a GPU and 64 on a CPU.
    """

    workers: int | None = None
    gpus: float | None = None
    batch_size: int | None = None

    def fitted(self, shards: int) -> tuple[int, float, int]:
        """Copies, GPUs of each and batch size on this cluster; no copy that would be idle.

        Raises:
            MedlabelError: the cluster has no room for what is asked; Ray would wait for ever.
        """
        there, total = ray.cluster_resources().get("GPU", 0.0), cpus()
        gpus = (1.0 if there else 0.0) if self.gpus is None else self.gpus
        room = _room(total, there, gpus)
        if room < (self.workers or 1):
            raise MedlabelError(
                f"{self.workers or 1} workers with {gpus:g} GPUs each: there is room for {room} on "
                f"{total} CPUs and {there:g} GPUs"
            )
        workers = self.workers or (room if gpus else min(room, total))
        return max(1, min(workers, shards)), gpus, self.batch_size or (256 if gpus else 64)


def _room(total: int, there: float, gpus: float) -> int:
    """How many workers fit beside a reader; shares of a GPU do not span two."""
    room = int((total - READING) / working_cpus(gpus))
    if not gpus:
        return room
    if gpus > 1 and gpus != int(gpus):
        raise MedlabelError(f"{gpus:g} GPUs a worker: take a whole number, or a share below one")
    return min(room, int(there) * int(1 / gpus) if gpus < 1 else int(there / gpus))


def list_sources(
    sources: Sequence[str],
    size: int,
    data_root: Path | None,
    column: str | None,
    on_progress: OnProgress,
) -> list[Part]:
    """All parts of all sources, after a look at their names: two of a name cannot be told apart."""
    on_progress("listing", 0, len(sources))
    parts: list[Part] = []
    for done, spec in enumerate(sources, start=1):
        new = list_parts(spec, size, data_root, column)
        if {part.source for part in new} & {part.source for part in parts}:
            raise MedlabelError(f"two sources are both called {new[0].source}: rename one")
        parts += new
        on_progress("listing", done, len(sources))
    return parts


def own_device() -> str:
    """Where a worker computes: on the GPU that Ray gave it, if it did; with one thread on a CPU."""
    import torch

    from medlabel.storage.device import default_device

    torch.set_num_threads(1)  # OpenMP threads of several replicas contend
    cuda = default_device().startswith("cuda")  # it may be there and not be ours
    return "cpu" if cuda and not ray.get_gpu_ids() else default_device()


def working_cpus(gpus: float) -> float:
    """CPUs that a worker with so many GPUs asks for."""
    return _WORKING_ON_GPU if gpus else WORKING


def blocks(items: Sequence[dict[str, Any]]) -> Dataset:
    """A dataset with one item a block, so that each can go to a worker of its own."""
    return ray.data.from_items(list(items), override_num_blocks=len(items))


@contextmanager
def a_block_a_row() -> Iterator[None]:
    """Let Ray Data put no two shards into one block: small or not, each is work of seconds."""
    context = DataContext.get_current().copy()
    context.target_max_block_size = 1
    with DataContext.current(context):
        yield


def drain(dataset: Dataset, total: int, what: str, on_progress: StageProgress) -> Counter[str]:
    """Run it, and tell how many images are through; returns the sum of each of its columns."""
    sums: Counter[str] = Counter()
    on_progress(0, total)
    with one_line_errors(what):
        for batch in dataset.iter_batches(batch_size=None, batch_format="numpy"):
            sums.update({str(name): int(values.sum()) for name, values in batch.items()})
            on_progress(min(sums["images"], total), total)
    return sums


def cpus() -> int:
    """CPUs of the cluster, one at least."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))
