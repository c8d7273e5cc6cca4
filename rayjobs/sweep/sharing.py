"""What the workers of a sweep share: all pixels once, and what a teacher says of a task.

No id of an image and no true label is in any of it: a worker is told which rows to read. Images of
all sources lie shuffled in one array, for where an image is from may be its class.
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
from rayjobs.cluster import last_line
from rayjobs.fit import Unit, Workload, fit_unit
from rayjobs.sweep.prepare import Group, Prepared

__all__ = ["Pixels", "Stacks", "TaskData", "fit_one", "gather", "teach"]

Stacks = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # grey [n, S, S] and colour [m, S, S, 3]


@dataclass(frozen=True)
class TaskData:
    """What all fits of a task by one teacher share; N distinct images. No label is in it.

    Attributes:
        colour: whether the images are in colour; grey ones among them are repeated.
        in_colour: which of the two arrays each image is in, bool [N].
        row: and where in it, int64 [N].
        scores: raw, float32 [N, K] or [T, N, K].
        embeddings: the teacher's, [N, D]; None where nobody will look at them.
        cells: rows of these N, by seed.
    """

    colour: bool
    in_colour: NDArray[np.bool_]
    row: NDArray[np.int64]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.floating] | None
    adjustment: Adjustment
    classes: tuple[str, ...]
    cells: Mapping[int, Unit]

    def cell(
        self, stacks: Stacks, recipe: Recipe, architecture: str, seed: int
    ) -> tuple[Workload, Unit]:
        """One cell as `fit_unit` takes it: its own images and scores, the pool's first."""
        cell = self.cells[seed]
        rows, n = np.concatenate([cell.pool, cell.test]), len(cell.pool)
        seen = self.embeddings if self.adjustment.needs_embeddings else None
        workload = Workload(
            gather(stacks, self.in_colour[rows], self.row[rows], self.colour),
            self.scores[..., rows, :],
            self.classes,
            recipe,
            architecture,
            {"versions": versions()},
            self.adjustment,
            None if seen is None else seen[rows],
        )
        return workload, Unit(seed, np.arange(n), np.arange(n, len(rows)))


def teach(group: Group, pixels: "Pixels", *, embeddings: bool = False) -> TaskData:
    """What the fits of a group share.

    Args:
        group: a task by a teacher.
        pixels: the drawn images of all sources.
        embeddings: keep them even where the adjustment does not look at them.
    """
    draw, rows = group.draw, group.rows
    adjustment = group.teacher.adjustment

    def at(ids: Sequence[str]) -> NDArray[np.int64]:
        return np.array([rows[image_id] for image_id in ids])

    return TaskData(
        any(source.colour for source in draw.sources.values()),
        *pixels.places(draw.ids),
        group.asked.scores,
        group.asked.embeddings if embeddings or adjustment.needs_embeddings else None,
        adjustment,
        draw.task.class_names,
        {cell.seed: Unit(cell.seed, at(cell.pool), at(cell.test)) for cell in draw.cells},
    )


def fit_one(
    uri: str,
    taught: TaskData,
    stacks: Stacks,
    recipe: Recipe,
    architecture: str,
    seed: int,
) -> str | None:
    """Fit one cell into the folder of its unit; returns why it failed, in a line."""
    try:
        workload, unit = taught.cell(stacks, recipe, architecture, seed)
        device = None if ray.get_gpu_ids() else "cpu"  # a GPU may be there and not be ours
        fit_unit(Store(uri), workload, unit, keep_student=False, device=device)
    except Exception as error:  # whatever it is, it must not stop the others
        return f"{type(error).__name__}: {last_line(error)}"
    return None


class Pixels:
    """The drawn images of all sources, put into the object store when they are first needed."""

    def __init__(self, prepared: Prepared) -> None:
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
        return tuple(ray.put(stack) for stack in self.stacks())

    def stacks(self) -> Stacks:
        """All drawn images in two arrays, in an order that says nothing."""
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
        """Which array each image is in (True: colour), and where in it."""
        found = [self._place[image_id] for image_id in ids]
        return np.array([at for at, _ in found], bool), np.array([row for _, row in found])


def _source_of(image_id: str) -> str:
    return image_id.rsplit("/", 2)[0]


def gather(
    stacks: Stacks, in_colour: NDArray[np.bool_], row: NDArray[np.int64], colour: bool
) -> NDArray[np.uint8]:
    """Images uint8 [n, S, S], or in colour [n, S, S, 3] with grey repeated."""
    grey, coloured = stacks
    if not colour:
        return grey[row]
    found = np.empty((len(row), *coloured.shape[1:]), dtype=np.uint8)
    found[in_colour] = coloured[row[in_colour]]
    found[~in_colour] = grey[row[~in_colour]][..., None]
    return found
