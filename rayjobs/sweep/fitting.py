"""Fit the cells of a sweep: fat chunks of seeds as Ray tasks, whose data all workers share.

Pixels and scores go into the object store once; what is sent to a worker is which rows to read. Ray
keeps the workers' processes, with torch imported, from one chunk to the next.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import RayError

from medlabel.experiments import sweep_tables as tables
from medlabel.experiments.run_folder import finished_seeds
from medlabel.experiments.sweep_spec import chunks
from medlabel.storage.progress import StageProgress
from medlabel.storage.store import Store
from medlabel.student.recipes import Recipe
from rayjobs.cluster import fitting_resources, last_line
from rayjobs.sweep.prepare import Group, Prepared, Seen, SweepConfig, groups
from rayjobs.sweep.sharing import Pixels, TaskData, fit_one, teach

__all__ = ["fit_all", "room"]

_TRIES = 2  # of a fit that raises
_CRASHES = 5  # of workers, before the cell that each of them was at is given up
_CHUNKS = 8  # a worker: enough that none waits long for the last


@dataclass(frozen=True)
class _Chunk:
    """Some seeds of a unit, as a worker is sent them."""

    uri: str
    taught: "ray.ObjectRef[TaskData]"
    pixels: tuple["ray.ObjectRef[NDArray[np.uint8]]", ...]
    recipe: Recipe
    architecture: str
    seeds: tuple[int, ...]
    names: Mapping[str, str]


def fit_all(
    settings: SweepConfig,
    store: Store,
    prepared: Prepared,
    seen: Mapping[str, Seen],
    on_progress: StageProgress,
) -> tuple[int, list[dict[str, Any]]]:
    """Fit what is missing; returns how many cells that were, and those that failed."""
    total = len(prepared.units) * settings.spec.seeds
    size = max(1, -(-total // (_CHUNKS * room(settings))))
    chunked = _chunks(store, groups(settings, prepared, seen), Pixels(prepared), size)
    running: dict[ray.ObjectRef[dict[int, str]], _Chunk] = {}
    again: deque[_Chunk] = deque()
    done, failures = 0, list[dict[str, Any]]()

    def take() -> _Chunk | None:
        return again.popleft() if again else next(chunked, None)

    ready = take()  # the next chunk is made while all workers are busy
    while ready or running:
        if ready and len(running) < room(settings):
            running[_start(ready, settings.gpus)] = ready
            ready = take()
        else:
            done += _collect(running, failures, again)
            on_progress(done, total)
            ready = ready or take()
    on_progress(total, total)
    return done - len(failures), failures


def room(settings: SweepConfig) -> int:
    """Fits at a time; asked anew each time, for a cluster may grow."""
    most, _ = fitting_resources(10**6, settings.gpus)
    return min(most, settings.workers or most)


def _chunks(store: Store, groups: Iterable[Group], pixels: Pixels, size: int) -> Iterator[_Chunk]:
    """What is missing, in chunks of at most `size` seeds, made when a worker is free for it."""
    for group in groups:
        taught = None
        for key, unit in group.units.items():
            folder = store / tables.unit_folder(key)
            finished = finished_seeds(folder)
            missing = [cell.seed for cell in group.draw.cells if cell.seed not in finished]
            for seeds in chunks(missing, size):
                taught = taught or ray.put(teach(group, pixels))
                yield _Chunk(
                    folder.uri,
                    taught,
                    pixels.refs,
                    unit.recipe,
                    unit.student,
                    tuple(seeds),
                    unit.names,
                )


def _start(chunk: _Chunk, gpus: float | None) -> "ray.ObjectRef[dict[int, str]]":
    _, share = fitting_resources(1, gpus)
    placed = _fit_chunk.options(
        num_cpus=share["CPU"],
        num_gpus=share.get("GPU", 0),
        max_retries=_CRASHES if len(chunk.seeds) == 1 else 0,
    )
    return placed.remote(chunk, chunk.taught)


def _collect(
    running: dict["ray.ObjectRef[dict[int, str]]", _Chunk],
    failures: list[dict[str, Any]],
    again: deque[_Chunk],
) -> int:
    """Wait for one chunk; returns how many cells are done with, and adds those that failed.

    Where a worker died, the cells that it had not come to go on one by one, so that a cell that
    kills its worker takes no other with it.
    """
    (ref,), _ = ray.wait(list(running), num_returns=1)
    chunk = running.pop(ref)
    try:
        failed = ray.get(ref)
    except RayError as error:
        left = sorted(set(chunk.seeds) - finished_seeds(Store(chunk.uri)))
        if len(chunk.seeds) > 1:
            again.extend(replace(chunk, seeds=(seed,)) for seed in left)
            return len(chunk.seeds) - len(left)
        failed = dict.fromkeys(left, last_line(error))
    failures += [{**chunk.names, "seed": s, "reason": why} for s, why in failed.items()]
    return len(chunk.seeds)


@ray.remote(max_calls=0)  # a worker with a GPU is kept, too
def _fit_chunk(chunk: _Chunk, taught: TaskData) -> dict[int, str]:
    """Fit the cells of a chunk that are not there yet; returns why some failed, by seed."""
    torch.set_num_threads(1)  # OpenMP threads of several workers contend
    grey, colour = ray.get(list(chunk.pixels))
    left = [seed for seed in chunk.seeds if seed not in finished_seeds(Store(chunk.uri))]
    failed: dict[int, str] = {}
    for _ in range(_TRIES):
        tried = {
            seed: fit_one(chunk.uri, taught, (grey, colour), chunk.recipe, chunk.architecture, seed)
            for seed in left
        }
        failed = {seed: why for seed, why in tried.items() if why}
        left = list(failed)
    return failed
