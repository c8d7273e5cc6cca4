"""What the workers of a sweep share: all pixels once, and a teacher's scores of each task.

It holds no image ids and no true labels: a worker is given row numbers. The images of all sources
lie shuffled in one array, because the source that an image comes from may be its class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import ray
from numpy.typing import NDArray

from medlabel.storage.store import Store
from medlabel.student.provenance import versions
from medlabel.student.recipes import Recipe
from medlabel.teacher.adjust import Adjustment
from rayjobs.fit import CellRows, Workload, fit_cell
from rayjobs.sweep.prepare import PreparedSweep, ScoredTask

__all__ = ["PixelArrays", "SharedPixels", "TaskData", "fit_task_cell", "gather", "task_data"]

PixelArrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Grey images [n, S, S] and colour images [m, S, S, 3]."""


@dataclass(frozen=True)
class TaskData:
    """What all fits of a task by one teacher share, for N distinct images. It holds no labels.

    Attributes:
        colour: whether students see colour images; grey ones among them are then repeated.
        in_colour: whether each image is in the array of colour images, bool [N].
        row: its row in that array or in the one of grey images, int64 [N].
        scores: the teacher's raw scores, float32 [N, K] or [T, N, K].
        embeddings: the teacher's, [N, D]; None where nothing uses them.
        adjustment: applied to the scores of a pool before a student learns from them.
        classes: K names.
        cells: rows among these N images, by seed.
    """

    colour: bool
    in_colour: NDArray[np.bool_]
    row: NDArray[np.int64]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.floating] | None
    adjustment: Adjustment
    classes: tuple[str, ...]
    cells: Mapping[int, CellRows]

    def cell(
        self, pixels: PixelArrays, recipe: Recipe, architecture: str, seed: int
    ) -> tuple[Workload, CellRows]:
        """One cell as `fit_cell` takes it: its own images and scores, those of the pool first."""
        cell = self.cells[seed]
        rows, n = np.concatenate([cell.pool, cell.test]), len(cell.pool)
        embeddings = self.embeddings if self.adjustment.needs_embeddings else None
        workload = Workload(
            gather(pixels, self.in_colour[rows], self.row[rows], self.colour),
            self.scores[..., rows, :],
            self.classes,
            recipe,
            architecture,
            {"versions": versions()},
            self.adjustment,
            None if embeddings is None else embeddings[rows],
        )
        return workload, CellRows(seed, np.arange(n), np.arange(n, len(rows)))


def task_data(
    scored: ScoredTask, pixels: "SharedPixels", *, keep_embeddings: bool = False
) -> TaskData:
    """What the fits of a task by one teacher share.

    Args:
        scored: the task, its sampled cells, and the teacher's scores.
        pixels: the sampled images of all tasks.
        keep_embeddings: keep them even if the adjustment does not use them.
    """
    sample, rows, teacher = scored.sample, scored.rows, scored.teacher_scores
    adjustment = scored.teacher.adjustment
    needed = keep_embeddings or adjustment.needs_embeddings

    def at(ids: Sequence[str]) -> NDArray[np.int64]:
        return np.array([rows[image_id] for image_id in ids])

    return TaskData(
        any(source.colour for source in sample.sources.values()),
        *pixels.places(sample.ids),
        teacher.scores,
        teacher.embeddings if needed else None,
        adjustment,
        sample.task.class_names,
        {cell.seed: CellRows(cell.seed, at(cell.pool), at(cell.test)) for cell in sample.cells},
    )


def fit_task_cell(
    store: Store,
    seed: int,
    device: str,
    task: TaskData,
    grey: NDArray[np.uint8],
    colour: NDArray[np.uint8],
    *,
    recipe: Recipe,
    architecture: str,
) -> None:
    """Fit one cell in this process and write its predictions into the folder of its unit."""
    workload, rows = task.cell((grey, colour), recipe, architecture, seed)
    fit_cell(store, workload, rows, keep_student=False, device=device)


class SharedPixels:
    """The sampled images of all sources, put into the object store when first needed."""

    def __init__(self, prepared: PreparedSweep) -> None:
        self._sources = {source.name: source for source in prepared.sources.values()}
        ids = prepared.ids
        self._ids: tuple[list[str], list[str]] = [], []  # grey and colour
        self._place: dict[str, tuple[bool, int]] = {}
        for number in np.random.default_rng(len(ids)).permutation(len(ids)):
            image_id = ids[number]
            colour = self._sources[_source_of(image_id)].colour
            self._place[image_id] = colour, len(self._ids[colour])
            self._ids[colour].append(image_id)

    @cached_property
    def refs(self) -> tuple["ray.ObjectRef[NDArray[np.uint8]]", ...]:
        """Both arrays, in the object store."""
        return tuple(ray.put(array) for array in self.arrays())

    def arrays(self) -> PixelArrays:
        """All sampled images in two arrays, in an order that has nothing to do with the classes."""
        source = next(iter(self._sources.values()))
        size = next(iter(source.splits.values())).images.shape[1]
        grey, colour = self._ids
        return self._stack(grey, (size, size)), self._stack(colour, (size, size, 3))

    def _stack(self, ids: Sequence[str], shape: tuple[int, ...]) -> NDArray[np.uint8]:
        found = np.empty((len(ids), *shape), np.uint8)
        for row, image_id in enumerate(ids):
            name, split, index = image_id.rsplit("/", 2)
            found[row] = self._sources[name].splits[split].images[int(index)]
        return found

    def places(self, ids: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Whether each image is in the array of colour images, bool [n], and its row, int64 [n]."""
        found = [self._place[image_id] for image_id in ids]
        return np.array([at for at, _ in found], bool), np.array([row for _, row in found])


def _source_of(image_id: str) -> str:
    return image_id.rsplit("/", 2)[0]


def gather(
    pixels: PixelArrays, in_colour: NDArray[np.bool_], row: NDArray[np.int64], colour: bool
) -> NDArray[np.uint8]:
    """Images uint8 [n, S, S], or in colour [n, S, S, 3] with grey repeated."""
    grey, coloured = pixels
    if not colour:
        return grey[row]
    found = np.empty((len(row), *coloured.shape[1:]), dtype=np.uint8)
    found[in_colour] = coloured[row[in_colour]]
    found[~in_colour] = grey[row[~in_colour]][..., None]
    return found
