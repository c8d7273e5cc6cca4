"""Time encoders, fits and metrics on the cluster, so that a sweep can be estimated before it runs.

A fit of each recipe and student is timed on a pool of median cost, grey and colour apart, while as
many run at once as in the sweep. Other pools are taken to cost in proportion to the number of
images that training sees. Class labels are made up from the brightness of the images: no teacher is
asked and no truth is read.
"""

import tempfile
import time
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from statistics import mean

import numpy as np
import ray
from numpy.typing import NDArray

from medlabel.data.tasks import gather_images
from medlabel.errors import MedlabelError
from medlabel.evaluation.metrics import compute_metrics
from medlabel.experiments.sweep_spec import SweepUnit
from medlabel.storage.progress import OnProgress
from medlabel.storage.store import Store
from medlabel.student.recipes import Recipe
from medlabel.teacher.clip import Clip, base_name, load_clip
from medlabel.teacher.phantom_clip import build_clip, is_phantom, pretraining_named, save_clip
from medlabel.teacher.zoo.weights import find_local_weights
from rayjobs.cluster import one_line_errors, prepare_worker
from rayjobs.embed import shard_size
from rayjobs.fit import CellRows, Workload, fit_cell
from rayjobs.image_pipeline import Replicas, replica_cpus
from rayjobs.sweep.prepare import PreparedSweep, SweepConfig, TaskSample

__all__ = ["encode_seconds", "fit_seconds", "judge_seconds", "local_clip"]

_TIMED_AT_ONCE = 8  # copies of a fit or an encoder, at most
_JUDGED = 20  # evaluations that are timed
_TRAINED = 0.8  # of a pool; the rest is held back for validation


# ---------------------------------------------------------------- metrics


def judge_seconds(prepared: PreparedSweep) -> float:
    """Seconds per cell to evaluate it, from made-up scores and labels."""
    sample = next(iter(prepared.samples.values()))
    k, n = len(sample.task.classes), len(sample.cells[0].test)
    labels = np.arange(n) % k
    scores = np.random.default_rng(0).dirichlet(np.ones(k), n)
    start = time.perf_counter()
    for _ in range(_JUDGED):
        compute_metrics(scores, labels)
    return 3 * (time.perf_counter() - start) / _JUDGED  # teacher, student, reading the files


# ---------------------------------------------------------------- encoders


def local_clip(config: SweepConfig, name: str) -> Clip | None:
    """The model, or None if its weights are not on this machine: an estimate downloads nothing.

    A phantom teacher that is still to be trained is as fast with its initial weights.
    """
    found, base = find_local_weights(name, config.home), base_name(name)
    if found is None and is_phantom(base):
        with tempfile.TemporaryDirectory() as untrained:
            pretraining = pretraining_named(base)
            save_clip(build_clip(pretraining), Path(untrained), pretraining)
            return load_clip(f"{untrained}{name.removeprefix(base)}", "cpu")
    if found is None:
        return None
    folder = f"{found.path.parent}{name.removeprefix(base)}"
    return load_clip(folder if is_phantom(base) else name, "cpu")


def encode_seconds(clip: Clip | None, count: int, images: Sequence[NDArray[np.uint8]]) -> float:
    """Seconds to embed `count` images with as many encoders as a sweep has, starting included.

    Args:
        clip: the model.
        count: images to embed.
        images: a few of them, uint8 [S, S] or [S, S, 3], to time.

    Raises:
        MedlabelError: the model's weights are not on this machine.
    """
    if clip is None:
        raise MedlabelError(
            "the teacher's weights are not on this machine, so that its speed cannot be measured: "
            "state --images-per-second, or run `medlabel fetch` first"
        )
    colour = [np.repeat(i[..., None], 3, 2) if i.ndim == 2 else i for i in images]
    size = shard_size(clip, Replicas().fitted(shards=1)[1])
    workers, gpus, batch = Replicas().fitted(ceil(count / size))
    timed = _time_encoder.options(num_cpus=replica_cpus(gpus), num_gpus=gpus)
    shared = ray.put(clip)
    start = time.perf_counter()
    with one_line_errors("measuring the encoder"):
        stack = np.stack(colour)
        copies = min(workers, _TIMED_AT_ONCE)
        each = ray.get([timed.remote([shared], stack, batch) for _ in range(copies)])
    starting = time.perf_counter() - start - max(each)
    return starting + count * mean(each) / len(colour) / workers


@ray.remote(max_calls=1, max_retries=2)
def _time_encoder(
    shared: list["ray.ObjectRef[Clip]"], images: NDArray[np.uint8], batch: int
) -> float:
    """Seconds to embed some images, as an encoder of the sweep does it."""
    clip = ray.get(shared[0]).to(prepare_worker())
    clip.embed_images(images[:batch], batch)  # the first batch is slower
    start = time.perf_counter()
    clip.embed_images(images, batch)
    return time.perf_counter() - start


# ---------------------------------------------------------------- fits


def fit_seconds(config: SweepConfig, prepared: PreparedSweep, on_progress: OnProgress) -> float:
    """Seconds that one worker takes for all cells."""
    alike: dict[tuple[Recipe, str, bool], list[SweepUnit]] = {}
    for unit in prepared.units:
        sources = prepared.samples[unit.task.title].sources.values()
        colour = any(source.colour for source in sources)
        alike.setdefault((unit.recipe, unit.student, colour), []).append(unit)
    total = 0.0
    for done, units in enumerate(alike.values(), start=1):
        on_progress("measuring", done - 1, len(alike))
        costs = [_relative_cost(unit, prepared.samples[unit.task.title]) for unit in units]
        median = sorted(range(len(units)), key=costs.__getitem__)[len(units) // 2]
        seconds = _time_unit(config, units[median], prepared.samples[units[median].task.title])
        total += config.spec.seeds * seconds * sum(costs) / costs[median]
        on_progress("measuring", done, len(alike))
    return total


def _relative_cost(unit: SweepUnit, sample: TaskSample) -> float:
    """The number of images that training sees, up to a factor that fits of one recipe share."""
    n = int(_TRAINED * len(sample.cells[0].pool))
    sized = unit.recipe.scaled_to(n)
    return float(sized.epochs * max(n, sized.batch_size))


def _time_unit(config: SweepConfig, unit: SweepUnit, sample: TaskSample) -> float:
    """Seconds per fit, while as many run at once as in the sweep."""
    cell = sample.cells[0]
    images = gather_images(sample.sources, (*cell.pool, *cell.test))
    scores = _made_up_scores(images, len(sample.task.classes))
    names, provenance = sample.task.class_names, {"versions": ""}
    workload = Workload(images, scores, names, unit.recipe, unit.student, provenance)
    n = len(cell.pool)
    rows = CellRows(cell.seed, np.arange(n), np.arange(n, len(images)))
    placement = config.placement
    timed = _time_fit.options(**placement.task_options())
    shared = ray.put(workload)
    with one_line_errors("measuring a fit"):
        copies = min(placement.capacity(), _TIMED_AT_ONCE)
        return mean(ray.get([timed.remote(shared, rows) for _ in range(copies)]))


def _made_up_scores(images: NDArray[np.uint8], k: int) -> NDArray[np.float32]:
    """Scores float32 [N, K] by brightness, equally many per class: a student can learn them."""
    order = images.reshape(len(images), -1).mean(axis=1).argsort().argsort()
    one_hot = np.eye(k, dtype=np.float32)[order * k // len(images)]
    return np.asarray(0.8 * one_hot + 0.2 / k, dtype=np.float32)


@ray.remote(max_calls=0, max_retries=2)
def _time_fit(workload: Workload, rows: CellRows) -> float:
    """Seconds of the second of two fits: the first is slower."""
    device = prepare_worker()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            start = time.perf_counter()
            fit_cell(Store(folder), workload, rows, keep_student=False, device=device)
    return time.perf_counter() - start
