"""Fit the students of many cells in one Ray Train run: one start-up, whatever the seeds."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import finished_seeds, write_cell
from medlabel.storage.device import default_device
from medlabel.storage.progress import StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.calibration import calibrate
from medlabel.student.fit import fit, predict_proba
from medlabel.student.human_labels import HumanLabels
from medlabel.student.recipes import Recipe
from medlabel.student.targets import training_targets
from medlabel.teacher.adjust import NO_ADJUSTMENT, Adjustment
from rayjobs.cluster import fitting_resources, one_line_errors

__all__ = ["Unit", "WorkerLimits", "Workload", "fit_cells", "fit_unit"]

_SCRATCH = ".train"  # Ray Train's own notes; the finished cells are what counts
_CRASHES = 3  # of workers, before fitting is given up


@dataclass(frozen=True)
class Unit:
    """One cell to fit: rows of the workload's images. It has no ids and knows no true label."""

    seed: int
    pool: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True)
class WorkerLimits:
    """What fits take of a cluster.

    Attributes:
        workers: at a time; as many as the cluster can hold when None.
        gpus: of each; None for a quarter where there are GPUs, 0 for the CPUs alone.
        elastic: go on with fewer workers when nodes are lost, and with more when they come. Ray
            Train (2.60) counts whole GPUs alone for this: with shares of one it is not elastic.
    """

    workers: int | None = None
    gpus: float | None = None
    elastic: bool = False


@dataclass(frozen=True)
class Workload:
    """What all cells of a task share, sent once: distinct images and the teacher's scores.

    Attributes:
        images: uint8 [N, S, S] or [N, S, S, 3].
        scores: raw, float32 [N, K], or [T, N, K] of several teachers.
        classes: K names.
        recipe: how to train.
        architecture: a student by name.
        provenance: what a bundle says of where it comes from.
        adjustment: what becomes of a pool's scores before a student learns from them.
        embeddings: the teacher's, [N, D], if the adjustment looks at them.
        human_labels: what people have said of some of the images.
    """

    images: NDArray[np.uint8]
    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    recipe: Recipe
    architecture: str
    provenance: Mapping[str, Any]
    adjustment: Adjustment = NO_ADJUSTMENT
    embeddings: NDArray[np.floating] | None = None
    human_labels: HumanLabels | None = None

    def adjusted(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores [len(rows), K] adjusted with the statistics of these rows alone."""
        seen = None if self.embeddings is None else self.embeddings[rows]
        return self.adjustment(self.scores[..., rows, :], seen)


def fit_cells(
    store: Store,
    workload: Workload,
    units: Sequence[Unit],
    on_progress: StageProgress = ignore_progress,
    room: WorkerLimits = WorkerLimits(),
) -> int:
    """Fit the cells that are not finished yet; returns how many that were.

    A finished cell's folder is its checkpoint: a restarted worker, or a later run, goes on with
    the cells that have none.

    Args:
        store: the folder of the cells.
        workload: what they share.
        units: all of them.
        on_progress: told how many are finished, of how many.
        room: on the cluster.
    """
    finished = finished_seeds(store)
    missing = [unit for unit in units if unit.seed not in finished]
    if not missing:
        store.remove(_SCRATCH)
        return 0
    most = min(len(missing), room.workers or len(missing))
    workers, resources = fitting_resources(most, room.gpus)
    config = {"uri": store.uri, "workload": ray.put(workload), "units": ray.put(missing)}
    trainer = TorchTrainer(
        _fit_share,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=_size(workers, resources, room.elastic),  # type: ignore[arg-type]  # V2 has it
            resources_per_worker=resources,
            use_gpu="GPU" in resources,
        ),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(
            name=uuid4().hex,
            storage_path=store.path(_SCRATCH),
            failure_config=FailureConfig(max_failures=_CRASHES),
        ),
    )
    try:
        with one_line_errors("fitting"), _watch(store, units, on_progress):
            trainer.fit()
    finally:
        store.remove(_SCRATCH)
    return len(missing)


def _size(workers: int, resources: Mapping[str, float], elastic: bool) -> int | tuple[int, int]:
    """How many workers, or from how many to how many."""
    whole = all(float(share).is_integer() for share in resources.values())
    return (1, workers) if elastic and whole and workers > 1 else workers


def _fit_share(config: dict[str, Any]) -> None:
    """What one worker does: every n-th unit that is still without a finished cell."""
    torch.set_num_threads(1)  # OpenMP threads of several workers contend
    device = None if ray.get_gpu_ids() else "cpu"  # a GPU may be there and not be ours
    context = ray.train.get_context()
    store, workload = Store(config["uri"]), ray.get(config["workload"])
    units = ray.get(config["units"])[context.get_world_rank() :: context.get_world_size()]
    finished = finished_seeds(store)
    for unit in units:
        if unit.seed not in finished:
            fit_unit(store, workload, unit, device=device)
    ray.train.report({"fitted": len(units)})


def fit_unit(
    store: Store,
    workload: Workload,
    unit: Unit,
    *,
    keep_student: bool = True,
    device: str | None = None,
) -> None:
    """Fit one cell and write it; the folder is whole or it does not count."""
    start = time.perf_counter()
    images, scores = workload.images, workload.adjusted(unit.pool)
    human_labels = (
        None if workload.human_labels is None else workload.human_labels.subset(unit.pool)
    )
    fitted = fit(
        images[unit.pool],
        scores,
        workload.classes,
        workload.recipe,
        unit.seed,
        architecture=workload.architecture,
        device=device or default_device(),
        human_labels=human_labels,
    )
    wanted = training_targets(scores, workload.recipe)
    wanted = wanted if human_labels is None else human_labels.apply_to_targets(wanted)
    found = [predict_proba(fitted.student, images[rows]) for rows in (unit.pool, unit.test)]
    if not all(np.isfinite(chances).all() for chances in found):
        raise MedlabelError(
            f"training by {workload.recipe.name} diverged: its probabilities are no numbers; "
            "take a lower learning_rate"
        )
    calibration = calibrate(fitted.student, images[unit.pool], wanted) if keep_student else None
    write_cell(
        store,
        unit.seed,
        fitted,
        *found,
        seconds=time.perf_counter() - start,
        provenance=workload.provenance,
        keep_student=keep_student,
        calibration=calibration,
    )


@contextmanager
def _watch(store: Store, units: Sequence[Unit], on_progress: StageProgress) -> Iterator[None]:
    """Report how many cells are whole, while Ray Train has the main thread."""
    wanted, over = {unit.seed for unit in units}, threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            on_progress(len(wanted & finished_seeds(store)), len(wanted))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        on_progress(len(wanted & finished_seeds(store)), len(wanted))
