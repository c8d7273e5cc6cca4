"""Estimate what a sweep will take before it runs: units, images to embed, and time.

Times come from measurements on this cluster (see `rayjobs.sweep.measure`) or from stated rates.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medlabel.data.tasks import source_image
from medlabel.errors import MedlabelError
from medlabel.storage.digests import digest_image, to_digests
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.teacher.clip import Clip, base_name
from medlabel.teacher.digest_catalogue import Catalogue, missing_rows
from medlabel.teacher.phantom_clip import is_phantom, pretraining_named
from medlabel.teacher.shipped_phantoms import shipped_state
from medlabel.teacher.zoo.weights import find_local_weights
from rayjobs.scoring import image_table, start_ray
from rayjobs.sweep.measure import encode_seconds, fit_seconds, judge_seconds, local_clip
from rayjobs.sweep.prepare import PreparedSweep, SweepConfig, prepare
from rayjobs.sweep.verdicts import judged_labels

__all__ = ["Estimate", "Rates", "estimate"]

_TIMED_IMAGES = 128  # to measure an encoder with
_VERDICT_SECONDS = 2.0  # per task and teacher, by one core, of 400 images of 28 pixels
_JUDGE_SECONDS = 0.04  # per cell where nothing is measured: reading predictions, and metrics


@dataclass(frozen=True)
class Rates:
    """Stated rates; what is None is measured.

    Attributes:
        seconds_per_fit: for one cell, by one worker.
        images_per_second: by all encoders together.
    """

    seconds_per_fit: float | None = None
    images_per_second: float | None = None

    @property
    def all_stated(self) -> bool:
        """Whether nothing has to be measured."""
        return self.seconds_per_fit is not None and self.images_per_second is not None

    @property
    def description(self) -> str:
        """What was measured and what was stated, for people to read."""
        if self.all_stated:
            return "by the rates stated"
        if self.seconds_per_fit is not None:
            return "fits by the rate stated, encoders measured on this cluster"
        if self.images_per_second is not None:
            return "encoders by the rate stated, fits measured on this cluster"
        return "measured on this cluster"


@dataclass(frozen=True)
class Estimate:
    """A sweep in numbers.

    Attributes:
        tasks: number of tasks.
        units: combinations of a task, a teacher, a recipe and a student.
        cells: units times seeds; cells that are finished already are counted too.
        images: distinct images that are sampled.
        encodes: how many of these the embedding table does not have, by the teacher's model.
        untrained: phantom teachers that are trained first; their training is not in the estimate.
        fit_seconds: by one worker, for all cells.
        encode_seconds: by all encoders together, starting them included.
        judge_seconds: for metrics, in the driver.
        verdict_seconds: for the verdicts, in the driver; as stated here, and not measured.
        start_seconds: for reading the images and starting Ray.
        workers: fits at a time.
        gpus: GPUs per fit.
        basis: what was measured on this cluster, and what was stated.
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
    verdict_seconds: float
    start_seconds: float
    workers: int
    gpus: float
    basis: str

    @property
    def seconds(self) -> float:
        """Wall time in all."""
        fitting = self.fit_seconds / self.workers
        judging = self.verdict_seconds + self.judge_seconds
        return self.start_seconds + self.encode_seconds + fitting + judging

    def lines(self) -> Iterator[tuple[str, str]]:
        """Names and values, for people to read."""
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
        fitting = _duration(self.fit_seconds / self.workers)
        yield "verdicts", _duration(self.verdict_seconds)
        yield "fitting", f"{fitting} ({self.fit_seconds / self.cells:.2f} s per cell)"
        yield "judging", _duration(self.judge_seconds)
        yield "reading, starting", _duration(self.start_seconds)
        yield "in all", f"{_duration(self.seconds)}, {self.basis}"
        if self.gpus:
            yield "GPU-hours", f"{self.workers * self.gpus * self.seconds / 3600:.1f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def estimate(
    config: SweepConfig, rates: Rates, on_progress: OnProgress = ignore_progress
) -> Estimate:
    """Estimate a sweep. With both rates stated, Ray is not started.

    Raises:
        MedlabelError: both rates are stated, but not how many workers there are.
    """
    if rates.all_stated and config.workers is None:
        raise MedlabelError("with both rates stated, state --workers too: how many fits at a time")
    start = time.perf_counter()
    prepared = prepare(config, on_progress)
    images = [source_image(prepared.sources, image_id) for image_id in prepared.ids]
    digests = to_digests([digest_image(image) for image in images])
    names = dict.fromkeys(name for one in config.spec.teachers for name in one.clip)
    clips = {name: local_clip(config, name) for name in names}
    encodes = {name: _missing(config, clip, digests) for name, clip in clips.items()}
    workers, gpus = _placement(config, rates, on_progress)
    start_seconds = time.perf_counter() - start
    cells = len(prepared.units) * config.spec.seeds
    some = [images[row] for row in np.linspace(0, len(images) - 1, _TIMED_IMAGES).astype(int)]
    return Estimate(
        tasks=len(prepared.samples),
        units=len(prepared.units),
        cells=cells,
        images=len(np.unique(digests)),
        encodes=encodes,
        untrained=tuple(name for name in names if _is_untrained(config, name)),
        fit_seconds=_fitting(config, rates, prepared, on_progress),
        encode_seconds=sum(
            _encoding(rates, clips[name], count, some) for name, count in encodes.items()
        ),
        judge_seconds=cells * (_JUDGE_SECONDS if rates.all_stated else judge_seconds(prepared)),
        verdict_seconds=_VERDICT_SECONDS * len(judged_labels(prepared)),
        start_seconds=start_seconds,
        workers=workers,
        gpus=gpus,
        basis=rates.description,
    )


def _is_untrained(config: SweepConfig, name: str) -> bool:
    """Whether it is a phantom teacher that neither the home nor the package has."""
    if not is_phantom(base_name(name)) or find_local_weights(name, config.home) is not None:
        return False
    return shipped_state(pretraining_named(base_name(name))) is None


def _missing(config: SweepConfig, clip: Clip | None, digests: NDArray[np.bytes_]) -> int:
    """The number of images that the embedding table does not have."""
    if clip is None:
        return len(np.unique(digests))
    everything = Catalogue(digests, (None,) * len(digests))
    (rows,), _ = missing_rows([everything], image_table(clip, config.home).contents())
    return len(rows)


def _placement(config: SweepConfig, rates: Rates, on_progress: OnProgress) -> tuple[int, float]:
    """Fits at a time and GPUs per fit: as stated, or as the cluster has them."""
    if rates.all_stated:
        return config.workers or 1, config.gpus or 0.0
    start_ray(on_progress)
    return config.placement.capacity(), config.placement.resources().get("GPU", 0.0)


def _fitting(
    config: SweepConfig, rates: Rates, prepared: PreparedSweep, on_progress: OnProgress
) -> float:
    """Seconds that one worker takes for all cells."""
    if rates.seconds_per_fit is not None:
        return rates.seconds_per_fit * len(prepared.units) * config.spec.seeds
    return fit_seconds(config, prepared, on_progress)


def _encoding(
    rates: Rates, clip: Clip | None, count: int, images: list[NDArray[np.uint8]]
) -> float:
    """Seconds that all encoders take together."""
    if not count:
        return 0.0
    if rates.images_per_second is not None:
        return count / rates.images_per_second
    return encode_seconds(clip, count, images)
