"""Run fits on a Ray cluster: the scheduler of `run`, `sweep`, `label`, `retrain` and `tune`.

Each fit is one Ray task. What many fits share (pixels, scores) is put into Ray's object store once
and read there by all workers of a node without a copy. A finished cell is a file, so that a job
that was killed goes on with the cells that have none. A fit whose worker dies is started again by
Ray, up to a limit; after that only this one cell is given up. Ray Tune starts its trials itself,
but asks this module for the same resources and prepares its workers the same way.

Why Ray Core tasks and not Ray Train: these networks are small, a fit uses one worker and takes
seconds, and no gradients are exchanged between workers. Starting a Ray Train run takes about ten
seconds on two cores, one failing cell ends it for all, and it cannot follow the size of the cluster
when workers have a share of a GPU. Tasks start in milliseconds, are retried one by one and spread
over nodes that come and go. Where one training is long and needs checkpoints, in
`rayjobs.pretrain`, Ray Train does the work.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError, WorkerCrashedError

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import finished_seeds
from medlabel.storage.progress import StageProgress, ignore_progress
from medlabel.storage.store import Store
from rayjobs.cluster import (
    StorageError,
    await_slots,
    holds,
    is_permanent,
    one_line_errors,
    prepare_worker,
    reason_of,
)

__all__ = [
    "WHOLE_CLUSTER",
    "FitJob",
    "FitPlacement",
    "FitSummary",
    "run_fits",
]

_FITS_PER_GPU = 4  # a small CNN leaves most of a GPU idle
_RETRIES = 5  # of one fit, when its worker died or it met an error of `_TRANSIENT`
_CHECKED_EVERY = 30.0  # seconds without a finished fit, after which the cluster is looked at
_SUBMITTED_PER_WORKER = 2  # no worker waits for the driver, and an autoscaler sees the demand
_TRANSIENT = [OSError, MemoryError, torch.OutOfMemoryError]  # all else would only fail again


@dataclass(frozen=True)
class FitPlacement:
    """How many fits run at a time, and what each of them takes of the cluster.

    Attributes:
        workers: fits at a time; None for as many as the cluster can hold, also when it grows.
        gpus: GPUs per fit, such as 0.1; None for a quarter where there are GPUs, 0 for CPUs only.
    """

    workers: int | None = None
    gpus: float | None = None

    def resources(self) -> dict[str, float]:
        """What Ray reserves per fit, such as ``{"CPU": 1, "GPU": 0.25}``.

        Raises:
            MedlabelError: no node of the cluster has so many GPUs, nor gets them in time.
        """
        if self.gpus:
            wanted = {"CPU": 1.0, "GPU": self.gpus}
            await_slots(wanted, what="fit")
            return wanted
        shared = {"CPU": 1.0, "GPU": 1 / _FITS_PER_GPU}
        if self.gpus is None and holds(shared):
            return shared
        return {"CPU": 1.0}

    def task_options(self) -> dict[str, float]:
        """The same as options of a Ray task."""
        resources = self.resources()
        return {"num_cpus": resources["CPU"], "num_gpus": resources.get("GPU", 0)}

    def capacity(self) -> int:
        """Fits that run at a time on the cluster as it is now, at least one."""
        most = holds(self.resources())
        return max(1, min(most, self.workers or most))


WHOLE_CLUSTER = FitPlacement()
"""As many fits at a time as the cluster can hold, with a quarter of a GPU each if it has any."""


@dataclass(frozen=True)
class FitJob:
    """Cells of one folder that are fitted in the same way from the same data.

    Attributes:
        store: the folder of the cells.
        seeds: the seeds of all cells, finished ones included.
        fit: called on a worker as ``fit(store, seed, device, *shared)`` to fit and write one cell.
        shared: returns references to what the fits share in Ray's object store. It is called for
            every missing cell, so it must put the data there only once; if no cell is missing it
            is not called.
        names: columns that tell the job apart in a table of failures.
    """

    store: Store
    seeds: tuple[int, ...]
    fit: Callable[..., None]
    shared: Callable[[], tuple["ray.ObjectRef[Any]", ...]]
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass
class FitSummary:
    """What became of the cells of some jobs.

    Attributes:
        finished: cells that were finished before.
        fitted: cells that were fitted now.
        failures: a row per cell that was given up: the names of its job, `seed` and `reason`.
    """

    finished: int = 0
    fitted: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Cells that need no more work."""
        return self.finished + self.fitted + len(self.failures)


def run_fits(
    jobs: Iterable[FitJob],
    placement: FitPlacement = WHOLE_CLUSTER,
    on_progress: StageProgress = ignore_progress,
    *,
    total: int,
    stop_at_error: bool = False,
) -> FitSummary:
    """Fit all cells that are not finished yet.

    Args:
        jobs: read one by one as workers become free, so that a generator may prepare each late.
        placement: how many fits at a time, and what each takes.
        on_progress: called with the number of cells done and `total`.
        total: the number of cells of all jobs.
        stop_at_error: raise the first error that a fit raises, instead of going on with the other
            cells. A worker that dies still costs only its own cell. Where nothing can be written,
            the first error is raised in any case.

    Raises:
        MedlabelError: the cluster was lost, or a fit failed and `stop_at_error` is set. Finished
            cells are kept.
    """
    scheduler = _Scheduler(jobs, placement, stop_at_error=stop_at_error)
    with one_line_errors("fitting"):
        try:
            for summary in scheduler.run():
                on_progress(summary.done, total)
        finally:
            scheduler.cancel()
    return scheduler.summary


class _Scheduler:
    """Submits missing cells as Ray tasks, a few more than can run, and collects the results."""

    def __init__(
        self, jobs: Iterable[FitJob], placement: FitPlacement, *, stop_at_error: bool
    ) -> None:
        self.summary = FitSummary()
        self._placement = placement
        self._stop_at_error = stop_at_error
        self._missing = self._missing_cells(jobs)
        self._reserved: Mapping[str, float] = {"CPU": 1}  # per fit
        self._running: dict[ray.ObjectRef[None], tuple[FitJob, int]] = {}

    def _missing_cells(self, jobs: Iterable[FitJob]) -> Iterator[tuple[FitJob, int]]:
        """Each missing cell with its job; finished ones are counted on the way."""
        for job in jobs:
            finished = finished_seeds(job.store)
            for seed in job.seeds:
                if seed in finished:
                    self.summary.finished += 1
                else:
                    yield job, seed

    def run(self) -> Iterator[FitSummary]:
        """Fit everything; yields the summary whenever a cell is done, and once at the end."""
        upcoming = next(self._missing, None)
        while upcoming or self._running:
            if upcoming and len(self._running) < self._limit():
                self._submit(*upcoming)
                upcoming = next(self._missing, None)  # prepared while the workers are busy
            else:
                self._collect()
                yield self.summary
        yield self.summary

    def cancel(self) -> None:
        """Stop what was submitted and is not collected: something went wrong in the driver."""
        for ref in self._running:
            ray.cancel(ref)

    def _limit(self) -> int:
        """The number of tasks submitted at a time; asked each time, for a cluster may grow."""
        return self._placement.workers or _SUBMITTED_PER_WORKER * self._placement.capacity()

    def _submit(self, job: FitJob, seed: int) -> None:
        self._reserved = self._placement.resources()
        task = _fit_cell.options(
            **self._placement.task_options(), max_retries=_RETRIES, retry_exceptions=_TRANSIENT
        )
        ref = task.remote(job.store.uri, seed, job.fit, *job.shared())
        self._running[ref] = job, seed

    def _collect(self) -> None:
        """Wait for one cell and note what became of it."""
        done: list[ray.ObjectRef[None]] = []
        while not done:
            done, _ = ray.wait(list(self._running), num_returns=1, timeout=_CHECKED_EVERY)
            if not done:  # the nodes that could run the others may have gone
                await_slots(self._reserved, what="fit")
        (ref,) = done
        job, seed = self._running.pop(ref)
        try:
            ray.get(ref)
        except RayError as error:
            if isinstance(error, StorageError) or (
                self._stop_at_error and isinstance(error, RayTaskError)
            ):
                raise
            self.summary.failures.append({**job.names, "seed": seed, "reason": _reason(error)})
        else:
            self.summary.fitted += 1


def _reason(error: RayError) -> str:
    if isinstance(error, WorkerCrashedError):
        return f"its worker process died (attempts: {_RETRIES + 1})"
    return reason_of(error)


@ray.remote(max_calls=0)  # a worker with a GPU is kept for the next fit too, with torch imported
def _fit_cell(uri: str, seed: int, fit: Callable[..., None], *shared: Any) -> None:
    """Fit one cell, unless an earlier attempt wrote it just before its worker died."""
    store = Store(uri)
    if seed in finished_seeds(store):
        return
    try:
        fit(store, seed, prepare_worker(), *shared)
    except OSError as error:
        if is_permanent(error):
            raise MedlabelError(reason_of(error)) from error
        raise  # Ray tries again
    except MedlabelError as error:
        if isinstance(error.__cause__, OSError):  # of storage
            # on a full disk, all other fits would fail, too; else Ray tries again
            kind = StorageError if is_permanent(error.__cause__) else OSError
            raise kind(str(error)) from error
        raise
