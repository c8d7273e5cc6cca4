"""What a sweep will take, before it is run: units, encodes and time, measured or by stated rates.

What is measured is a fit of each recipe and student on a pool of the middle size, grey and colour
apart, by as many workers at once as will fit; other pools are taken to cost in proportion to the
images that training sees. Labels are made up of the images' brightness: no teacher is asked and no
truth is read.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import mean

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from medlabel.data.tasks import gather_images, source_image
from medlabel.errors import MedlabelError
from medlabel.evaluation.metrics import compute_metrics
from medlabel.experiments.sweep_spec import SweepUnit
from medlabel.storage.digests import digest_image, to_digests
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.recipes import Recipe
from medlabel.teacher.catalogue import Catalogue, missing_rows
from medlabel.teacher.clip import Clip, base_name, load_clip
from medlabel.teacher.phantom_clip import build_clip, is_phantom, pretraining_named, save_clip
from medlabel.teacher.zoo.weights import find_local_weights
from rayjobs.cluster import fitting_resources, one_line_errors
from rayjobs.embed import shard_size
from rayjobs.fit import Unit, Workload, fit_unit
from rayjobs.image_pipeline import Replicas, own_device, replica_cpus
from rayjobs.scoring import image_table, start_ray
from rayjobs.sweep.fitting import room
from rayjobs.sweep.prepare import Prepared, SweepConfig, TaskSample, prepare

__all__ = ["Estimate", "Rates", "estimate"]

_LOOKED_AT = 128  # images to measure an encoder by
_JUDGED = 0.04  # seconds per cell where nothing is measured: its predictions read, its metrics
_JUDGINGS = 20
_TRAINED = 0.8  # of a pool; the rest is held back


@dataclass(frozen=True)
class Rates:
    """Stated rates; None: measure it.

    Attributes:
        seconds_per_fit: of one cell, by one worker.
        images_per_second: of all encoders together.
    """

    seconds_per_fit: float | None = None
    images_per_second: float | None = None

    @property
    def all_stated(self) -> bool:
        """Whether nothing is left to measure."""
        return self.seconds_per_fit is not None and self.images_per_second is not None

    @property
    def told(self) -> str:
        """What was measured and what was stated, for people."""
        if self.all_stated:
            return "by the rates stated"
        if self.seconds_per_fit is not None:
            return "fits by the rate stated, encoders measured on this cluster"
        if self.images_per_second is not None:
            return "encoders by the rate stated, fits measured on this cluster"
        return "measured on this cluster"


@dataclass(frozen=True)
class Estimate:
    """The plan in numbers.

    Attributes:
        tasks, units, cells: of the plan; finished cells are not looked for.
        images: distinct images that are drawn.
        encodes: of these, those that the embedding table does not have, by teacher's model.
        untrained: phantom teachers that are trained first; that is not in the estimate.
        fit_seconds: of one worker, all cells.
        encode_seconds: of all encoders together, their start included.
        judge_seconds: metrics, in the driver.
        start_seconds: of reading and drawing the images, and of Ray.
        workers: fits at a time.
        gpus: of each fit.
        measured: what was measured on this cluster, and what is as stated.
    """

    tasks: int
    units: int
    cells: int
    images: int
    encodes: Mapping[str, int]
    untrained: tuple[str, ...]
    fit_seconds: float
    encode_seconds: float
    judge_seconds: float
    start_seconds: float
    workers: int
    gpus: float
    measured: str

    @property
    def seconds(self) -> float:
        """Wall time."""
        fitting = self.fit_seconds / self.workers
        return self.start_seconds + self.encode_seconds + fitting + self.judge_seconds

    def lines(self) -> Iterator[tuple[str, str]]:
        """As people read it."""
        yield "tasks", f"{self.tasks:,}"
        yield "units", f"{self.units:,} (a task by a teacher, a recipe and a student)"
        yield "cells", f"{self.cells:,} (a unit with a seed)"
        yield "distinct images", f"{self.images:,}"
        for name, count in self.encodes.items():
            yield f"to encode by {name}", f"{count:,}"
        for name in self.untrained:
            yield f"to train first: {name}", "minutes, once; not counted below"
        yield "workers", f"{self.workers:,}" + (f", {self.gpus:g} GPUs each" if self.gpus else "")
        yield "encoding", _duration(self.encode_seconds)
        yield (
            "fitting",
            (
                f"{_duration(self.fit_seconds / self.workers)} "
                f"({self.fit_seconds / self.cells:.2f} s per cell)"
            ),
        )
        yield "judging", _duration(self.judge_seconds)
        yield "reading, starting", _duration(self.start_seconds)
        yield "in all", f"{_duration(self.seconds)}, {self.measured}"
        if self.gpus:
            yield "GPU-hours", f"{self.workers * self.gpus * self.seconds / 3600:.1f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def estimate(
    settings: SweepConfig,
    rates: Rates,
    on_progress: OnProgress = ignore_progress,
) -> Estimate:
    """Plan a sweep; with both rates stated, Ray is not started and `settings.workers` is told."""
    if rates.all_stated and settings.workers is None:
        raise MedlabelError("with both rates stated, state --workers too: how many fits at a time")
    began = time.perf_counter()
    prepared = prepare(settings, on_progress)
    images = [source_image(prepared.sources, image_id) for image_id in prepared.ids]
    digests = to_digests([digest_image(image) for image in images])
    names = dict.fromkeys(name for one in settings.spec.teachers for name in one.clip)
    clips = {name: _clip(settings, name) for name in names}
    encodes = {name: _missing(settings, clip, digests) for name, clip in clips.items()}
    workers, gpus = _room(settings, rates, on_progress)
    started = time.perf_counter() - began
    cells = len(prepared.units) * settings.spec.seeds
    some = [images[row] for row in np.linspace(0, len(images) - 1, _LOOKED_AT).astype(int)]
    return Estimate(
        tasks=len(prepared.draws),
        units=len(prepared.units),
        cells=cells,
        images=len(np.unique(digests)),
        encodes=encodes,
        untrained=tuple(
            name
            for name in names
            if is_phantom(base_name(name)) and find_local_weights(name, settings.home) is None
        ),
        fit_seconds=_fits(settings, rates, prepared, on_progress),
        encode_seconds=sum(
            _encoding(rates, clips[name], count, some) for name, count in encodes.items()
        ),
        judge_seconds=cells * (_JUDGED if rates.all_stated else _judging(prepared)),
        start_seconds=started,
        workers=workers,
        gpus=gpus,
        measured=rates.told,
    )


def _room(settings: SweepConfig, rates: Rates, on_progress: OnProgress) -> tuple[int, float]:
    """Fits at a time and the GPUs of each: as stated, or as the cluster has them."""
    if rates.all_stated:
        return settings.workers or 1, settings.gpus or 0.0
    start_ray(on_progress)
    return room(settings), fitting_resources(1, settings.gpus)[1].get("GPU", 0.0)


def _judging(prepared: Prepared) -> float:
    """Seconds a cell: metrics of made-up scores and labels, three times."""
    draw = next(iter(prepared.draws.values()))
    k, n = len(draw.task.classes), len(draw.cells[0].test)
    labels = np.arange(n) % k
    scores = np.random.default_rng(0).dirichlet(np.ones(k), n)
    began = time.perf_counter()
    for _ in range(_JUDGINGS):
        compute_metrics(scores, labels)
    return 3 * (time.perf_counter() - began) / _JUDGINGS  # teacher, student, reading the files


# ---------------------------------------------------------------- encodes


def _clip(settings: SweepConfig, name: str) -> Clip | None:
    """The model, or None where its weights are not on this machine: a plan downloads nothing.

    A phantom teacher that is still to be trained is as fast with the weights it starts from.
    """
    found, base = find_local_weights(name, settings.home), base_name(name)
    if found is None and is_phantom(base):
        with tempfile.TemporaryDirectory() as untrained:
            config = pretraining_named(base)
            save_clip(build_clip(config), Path(untrained), config)
            return load_clip(f"{untrained}{name.removeprefix(base)}", "cpu")
    if found is None:
        return None
    folder = f"{found.path.parent}{name.removeprefix(base)}"
    return load_clip(folder if is_phantom(base) else name, "cpu")


def _missing(settings: SweepConfig, clip: Clip | None, digests: NDArray[np.bytes_]) -> int:
    if clip is None:
        return len(np.unique(digests))
    everything = Catalogue(digests, (None,) * len(digests))
    (rows,), _ = missing_rows([everything], image_table(clip, settings.home).contents())
    return len(rows)


def _encoding(
    rates: Rates,
    clip: Clip | None,
    count: int,
    images: Sequence[NDArray[np.uint8]],
) -> float:
    """Seconds to encode `count` images by as many encoders as a sweep has, and to start them."""
    if not count:
        return 0.0
    if rates.images_per_second is not None:
        return count / rates.images_per_second
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
    began = time.perf_counter()
    with one_line_errors("measuring the encoder"):
        stack = np.stack(colour)
        each = ray.get([timed.remote([shared], stack, batch) for _ in range(min(workers, 8))])
    starting = time.perf_counter() - began - max(each)
    return starting + count * mean(each) / len(colour) / workers


@ray.remote(max_calls=1, max_retries=2)
def _time_encoder(
    shared: list["ray.ObjectRef[Clip]"], images: NDArray[np.uint8], batch: int
) -> float:
    """Seconds to encode some images, as an encoder of the sweep does."""
    torch.set_num_threads(1)
    clip = ray.get(shared[0]).to(own_device())
    clip.embed_images(images[:batch], batch)  # warm
    began = time.perf_counter()
    clip.embed_images(images, batch)
    return time.perf_counter() - began


# ---------------------------------------------------------------- fits


def _fits(
    settings: SweepConfig, rates: Rates, prepared: Prepared, on_progress: OnProgress
) -> float:
    """Seconds of one worker for all cells."""
    seeds = settings.spec.seeds
    if rates.seconds_per_fit is not None:
        return rates.seconds_per_fit * len(prepared.units) * seeds
    alike: dict[tuple[Recipe, str, bool], list[SweepUnit]] = {}
    for unit in prepared.units:
        colour = any(s.colour for s in prepared.draws[unit.task.title].sources.values())
        alike.setdefault((unit.recipe, unit.student, colour), []).append(unit)
    total = 0.0
    for done, units in enumerate(alike.values(), start=1):
        on_progress("measuring", done - 1, len(alike))
        work = [_work(unit, prepared.draws[unit.task.title]) for unit in units]
        middle = sorted(range(len(units)), key=work.__getitem__)[len(units) // 2]
        a_fit = _measure(settings, units[middle], prepared.draws[units[middle].task.title])
        total += seeds * a_fit * sum(work) / work[middle]
        on_progress("measuring", done, len(alike))
    return total


def _work(unit: SweepUnit, draw: TaskSample) -> float:
    """Images that training sees, up to a factor that a recipe's fits share."""
    n = int(_TRAINED * len(draw.cells[0].pool))
    sized = unit.recipe.scaled_to(n)
    return float(sized.epochs * max(n, sized.batch_size))


def _measure(settings: SweepConfig, unit: SweepUnit, draw: TaskSample) -> float:
    """Seconds of a fit, while as many are made at once as in the sweep."""
    cell = draw.cells[0]
    images = gather_images(draw.sources, (*cell.pool, *cell.test))
    workload = Workload(
        images,
        _made_up(images, len(draw.task.classes)),
        draw.task.class_names,
        unit.recipe,
        unit.student,
        {"versions": ""},
    )
    n = len(cell.pool)
    one = Unit(cell.seed, np.arange(n), np.arange(n, len(images)))
    _, share = fitting_resources(1, settings.gpus)
    timed = _time_fit.options(num_cpus=share["CPU"], num_gpus=share.get("GPU", 0))
    shared = ray.put(workload)
    with one_line_errors("measuring a fit"):
        copies = min(room(settings), 8)
        return mean(ray.get([timed.remote(shared, one) for _ in range(copies)]))


def _made_up(images: NDArray[np.uint8], k: int) -> NDArray[np.float32]:
    """Scores float32 [N, K] by brightness, as many of each class: something that can be learned."""
    order = images.reshape(len(images), -1).mean(axis=1).argsort().argsort()
    sure = np.eye(k, dtype=np.float32)[order * k // len(images)]
    return np.asarray(0.8 * sure + 0.2 / k, dtype=np.float32)


@ray.remote(max_calls=0, max_retries=2)
def _time_fit(workload: Workload, unit: Unit) -> float:
    """Seconds of the second of two fits: the first warms up."""
    torch.set_num_threads(1)
    device = None if ray.get_gpu_ids() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            began = time.perf_counter()
            fit_unit(Store(folder), workload, unit, keep_student=False, device=device)
    return time.perf_counter() - began
