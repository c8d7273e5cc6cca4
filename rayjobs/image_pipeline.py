"""What the jobs on Ray Data share: listing sources, cutting work, and fitting it to a cluster."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext, Dataset

from medlabel.data.listing import Part, list_all_parts
from medlabel.storage.progress import OnProgress, StageProgress
from rayjobs.cluster import await_slots, holds, one_line_errors

__all__ = [
    "CATALOGUER_CPUS",
    "READER_CPUS",
    "Replicas",
    "cluster_cpus",
    "drain",
    "finished_rows",
    "list_sources",
    "one_block_per_item",
    "one_block_per_row",
    "replica_cpus",
]

READER_CPUS = 0.25  # so that readers and replicas of the model both find room on two CPUs
CATALOGUER_CPUS = 0.5
_REPLICA_CPUS = 0.5  # unlike the readers', or Ray Data would fuse both into one stage
_REPLICA_CPUS_ON_GPU = 0.125


@dataclass(frozen=True)
class Replicas:
    """How many copies of a model work at the same time, and what each of them takes.

    Attributes:
        workers: number of copies; None for as many as the cluster's GPUs (or else CPUs) can hold.
        gpus: GPUs per copy, such as 0.5 for two on each GPU; None for 1 where there are GPUs.
        batch_size: images per batch; None for 256 on a GPU and 64 on a CPU.
    """

    workers: int | None = None
    gpus: float | None = None
    batch_size: int | None = None

    def fitted(self, shards: int) -> tuple[int, float, int]:
        """Number of copies, GPUs per copy and batch size on this cluster, with no idle copy.

        Args:
            shards: units of work; there are no more copies than these.

        Raises:
            MedlabelError: the cluster has too few resources, nor gets them in time.
        """
        some_gpu = holds({"GPU": 1}) > 0
        gpus = (1.0 if some_gpu else 0.0) if self.gpus is None else self.gpus
        need = {"CPU": replica_cpus(gpus), "GPU": gpus}
        reader = {"CPU": READER_CPUS}  # one has to fit beside the replicas
        most = await_slots(need, self.workers or 1, "worker", beside=reader)
        workers = self.workers or (most if gpus else min(most, cluster_cpus()))
        return max(1, min(workers, shards)), gpus, self.batch_size or (256 if gpus else 64)


def list_sources(
    sources: Sequence[str],
    size: int,
    data_root: Path | None,
    image_column: str | None,
    on_progress: OnProgress,
    left_out: Sequence[str] = (),
) -> list[Part]:
    """All parts of all sources (see `medlabel.data.listing.list_all_parts` for the arguments).

    Raises:
        MedlabelError: a source cannot be listed, or no source holds an image.
    """

    def listed(done: int) -> None:
        on_progress("listing", done, len(sources))

    listed(0)
    return list_all_parts(sources, size, data_root, image_column, left_out, listed)


def replica_cpus(gpus: float) -> float:
    """CPUs to ask for, for a replica of a model that has so many GPUs."""
    return _REPLICA_CPUS_ON_GPU if gpus else _REPLICA_CPUS


def one_block_per_item(items: Sequence[dict[str, Any]]) -> Dataset:
    """A dataset of these rows, each in a block of its own, so that each can go to any worker."""
    return ray.data.from_items(list(items), override_num_blocks=len(items))


@contextmanager
def one_block_per_row() -> Iterator[None]:
    """Keep Ray Data from joining small shards to one block: each is seconds of work."""
    context = DataContext.get_current().copy()
    context.target_max_block_size = 1
    with DataContext.current(context):
        yield


def finished_rows(
    dataset: Dataset, total: int, what: str, on_progress: StageProgress
) -> Iterator[dict[str, Any]]:
    """Run a pipeline and yield its rows as they are finished, in any order.

    Args:
        dataset: its column `images` is the number of images that a row stands for.
        total: number of images.
        what: name of the work in the message of an error, such as "embedding".
        on_progress: called with the number of finished images.

    Raises:
        MedlabelError: in one line, the reason why a worker failed.
    """
    done = 0
    on_progress(done, total)
    with one_line_errors(what):
        for row in dataset.iter_rows():
            done += int(row["images"])
            yield row
            on_progress(min(done, total), total)


def drain(dataset: Dataset, total: int, what: str, on_progress: StageProgress) -> Counter[str]:
    """Run a pipeline whose columns are numbers, and return the sum of each column.

    The arguments are those of `finished_rows`.
    """
    sums: Counter[str] = Counter()
    for row in finished_rows(dataset, total, what, on_progress):
        sums.update({name: int(value) for name, value in row.items()})
    return sums


def cluster_cpus() -> int:
    """CPUs of the cluster, at least one."""
    return max(1, holds({"CPU": 1}))
