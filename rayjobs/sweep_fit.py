"""Fit the cells of a sweep: fat chunks of seeds as Ray tasks, whose data all workers share.

Pixels and scores go into the object store once; what is sent to a worker is which rows to read. Ray
keeps the workers' processes, with torch imported, from one chunk to the next.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import RayError

from medlabel import sweep_tables as tables
from medlabel.adjust import Adjustment
from medlabel.provenance import versions
from medlabel.recipes import Recipe
from medlabel.runs import finished_seeds
from medlabel.store import Store
from medlabel.sweeps import chunks
from rayjobs.cluster import fitting_resources, last_line
from rayjobs.fit import Unit, Workload, fit_unit
from rayjobs.sweep_prepare import Group, Prepared, Seen, SweepSettings, groups

__all__ = ["fit_all", "gather", "room"]

_TRIES = 2  # of a fit that raises
_CRASHES = 5  # of a worker, before its cells are given up
_CHUNKS = 8  # a worker: enough that none waits long for the last


@dataclass(frozen=True)
class _Taught:
    """What all fits of a task by one teacher share; N distinct images. No label is in it.

    Attributes:
        stack: which array of pixels each image is in, int64 [N].
        row: and where in it, int64 [N].
        scores: raw, float32 [N, K] or [T, N, K].
        embeddings: [N, D], if the adjustment looks at them.
        cells: rows of these N, by seed.
    """

    stack: NDArray[np.int64]
    row: NDArray[np.int64]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.floating] | None
    adjustment: Adjustment
    classes: tuple[str, ...]
    cells: Mapping[int, Unit]


@dataclass(frozen=True)
class _Chunk:
    """Some seeds of a unit, as a worker is sent them."""

    uri: str
    taught: "ray.ObjectRef[_Taught]"
    pixels: tuple["ray.ObjectRef[NDArray[np.uint8]]", ...]
    recipe: Recipe
    architecture: str
    seeds: tuple[int, ...]
    names: Mapping[str, str]


def fit_all(
    settings: SweepSettings,
    store: Store,
    prepared: Prepared,
    seen: Mapping[str, Seen],
    on_progress: Callable[[int, int], None],
) -> tuple[int, list[dict[str, Any]]]:
    """Fit what is missing; returns how many cells that were, and those that failed."""
    total = len(prepared.units) * settings.spec.seeds
    size = max(1, -(-total // (_CHUNKS * room(settings))))
    chunked = _chunks(store, groups(settings, prepared, seen), _Pixels(prepared), size)
    running: dict[ray.ObjectRef[dict[int, str]], _Chunk] = {}
    done, failures = 0, list[dict[str, Any]]()
    for chunk in chunked:  # the next one is made while all workers are busy
        while len(running) >= room(settings):
            done += _collect(running, failures)
            on_progress(done, total)
        running[_start(chunk, settings.gpus)] = chunk
    while running:
        done += _collect(running, failures)
        on_progress(done, total)
    on_progress(total, total)
    return done - len(failures), failures


def room(settings: SweepSettings) -> int:
    """Fits at a time; asked anew each time, for a cluster may grow."""
    most, _ = fitting_resources(10**6, settings.gpus)
    return min(most, settings.workers or most)


class _Pixels:
    """The drawn images of each source, put into the object store when a task first needs them."""

    def __init__(self, prepared: Prepared) -> None:
        self._sources = {source.name: source for source in prepared.sources.values()}
        self._ids: dict[str, list[str]] = {name: [] for name in self._sources}
        self._row: dict[str, int] = {}
        for image_id in prepared.ids:
            mine = self._ids[_source_of(image_id)]
            self._row[image_id] = len(mine)
            mine.append(image_id)
        self._refs: dict[str, ray.ObjectRef[NDArray[np.uint8]]] = {}

    def ref(self, name: str) -> "ray.ObjectRef[NDArray[np.uint8]]":
        """All drawn images of a source, uint8 [n, S, S] or [n, S, S, 3]."""
        if name not in self._refs:
            splits = self._sources[name].splits
            places = [image_id.rsplit("/", 2)[1:] for image_id in self._ids[name]]
            self._refs[name] = ray.put(np.stack([splits[s].images[int(i)] for s, i in places]))
        return self._refs[name]

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Where each image is in its source's array."""
        return np.array([self._row[image_id] for image_id in ids])


def _source_of(image_id: str) -> str:
    return image_id.rsplit("/", 2)[0]


def _chunks(store: Store, groups: Iterable[Group], pixels: _Pixels, size: int) -> Iterator[_Chunk]:
    """What is missing, in chunks of at most `size` seeds, made when a worker is free for it."""
    for group in groups:
        taught = None
        names = [source.name for source in group.draw.sources.values()]
        for key, unit in group.units.items():
            folder = store / tables.unit_folder(key)
            finished = finished_seeds(folder)
            missing = [cell.seed for cell in group.draw.cells if cell.seed not in finished]
            for seeds in chunks(missing, size):
                taught = taught or ray.put(_taught(group, pixels, names))
                yield _Chunk(
                    folder.uri,
                    taught,
                    tuple(pixels.ref(name) for name in names),
                    unit.recipe,
                    unit.student,
                    tuple(seeds),
                    unit.names,
                )


def _taught(group: Group, pixels: _Pixels, names: Sequence[str]) -> _Taught:
    draw, rows = group.draw, group.rows
    adjustment = group.teacher.adjustment

    def at(ids: Sequence[str]) -> NDArray[np.int64]:
        return np.array([rows[image_id] for image_id in ids])

    return _Taught(
        np.array([names.index(_source_of(image_id)) for image_id in draw.ids]),
        pixels.rows(draw.ids),
        group.asked.scores,
        group.asked.embeddings if adjustment.sees_images else None,
        adjustment,
        draw.task.class_names,
        {cell.seed: Unit(cell.seed, at(cell.pool), at(cell.test)) for cell in draw.cells},
    )


def _start(chunk: _Chunk, gpus: float | None) -> "ray.ObjectRef[dict[int, str]]":
    _, share = fitting_resources(1, gpus)
    placed = _fit_chunk.options(num_cpus=share["CPU"], num_gpus=share.get("GPU", 0))
    return placed.remote(chunk, chunk.taught)


def _collect(
    running: dict["ray.ObjectRef[dict[int, str]]", _Chunk], failures: list[dict[str, Any]]
) -> int:
    """Wait for one chunk; returns its number of cells, and adds those that failed."""
    (ref,), _ = ray.wait(list(running), num_returns=1)
    chunk = running.pop(ref)
    try:
        failed = ray.get(ref)
    except RayError as error:  # its worker died too often
        left = set(chunk.seeds) - finished_seeds(Store(chunk.uri))
        failed = dict.fromkeys(sorted(left), last_line(error))
    failures += [{**chunk.names, "seed": s, "reason": why} for s, why in failed.items()]
    return len(chunk.seeds)


@ray.remote(max_calls=0, max_retries=_CRASHES)  # max_calls: a worker with a GPU is kept, too
def _fit_chunk(chunk: _Chunk, taught: _Taught) -> dict[int, str]:
    """Fit the cells of a chunk that are not there yet; returns why some failed, by seed."""
    torch.set_num_threads(1)  # OpenMP threads of several workers contend
    pixels = ray.get(list(chunk.pixels))
    left = [seed for seed in chunk.seeds if seed not in finished_seeds(Store(chunk.uri))]
    failed: dict[int, str] = {}
    for _ in range(_TRIES):
        failed = {seed: why for seed in left if (why := _try(chunk, taught, pixels, seed))}
        left = list(failed)
    return failed


def _try(
    chunk: _Chunk, taught: _Taught, pixels: Sequence[NDArray[np.uint8]], seed: int
) -> str | None:
    """Fit one cell; returns why it failed, in a line."""
    try:
        workload, unit = _cell_workload(chunk, taught, pixels, seed)
        device = None if ray.get_gpu_ids() else "cpu"  # a GPU may be there and not be ours
        fit_unit(Store(chunk.uri), workload, unit, keep_student=False, device=device)
    except Exception as error:  # whatever it is, it must not stop the others
        return f"{type(error).__name__}: {last_line(error)}"
    return None


def _cell_workload(
    chunk: _Chunk, taught: _Taught, pixels: Sequence[NDArray[np.uint8]], seed: int
) -> tuple[Workload, Unit]:
    """One cell as `fit_unit` takes it: its own images and scores, the pool's first."""
    cell = taught.cells[seed]
    rows, n = np.concatenate([cell.pool, cell.test]), len(cell.pool)
    workload = Workload(
        gather(pixels, taught.stack[rows], taught.row[rows]),
        taught.scores[..., rows, :],
        taught.classes,
        chunk.recipe,
        chunk.architecture,
        {"versions": versions()},
        taught.adjustment,
        None if taught.embeddings is None else taught.embeddings[rows],
    )
    return workload, Unit(seed, np.arange(n), np.arange(n, len(rows)))


def gather(
    pixels: Sequence[NDArray[np.uint8]], stack: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Images uint8 [n, S, S], or [n, S, S, 3] with grey repeated where a source is in colour."""
    colour = any(images.ndim == 4 for images in pixels)
    side = pixels[0].shape[1]
    found = np.empty((len(row), side, side, *((3,) if colour else ())), dtype=np.uint8)
    for number, images in enumerate(pixels):
        mine = stack == number
        some = images[row[mine]]
        found[mine] = some[..., None] if colour and some.ndim == 3 else some
    return found
