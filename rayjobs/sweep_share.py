"""What the workers of a sweep share: each source's pixels once, and what a teacher says of a task.

No id of an image and no true label is in any of it: a worker is told which rows to read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import ray
from numpy.typing import NDArray

from medlabel.adjust import Adjustment
from medlabel.provenance import versions
from medlabel.recipes import Recipe
from medlabel.store import Store
from rayjobs.cluster import last_line
from rayjobs.fit import Unit, Workload, fit_unit
from rayjobs.sweep_prepare import Group, Prepared

__all__ = ["Pixels", "Taught", "fit_one", "gather", "teach"]


@dataclass(frozen=True)
class Taught:
    """What all fits of a task by one teacher share; N distinct images. No label is in it.

    Attributes:
        stack: which array of pixels each image is in, int64 [N].
        row: and where in it, int64 [N].
        scores: raw, float32 [N, K] or [T, N, K].
        embeddings: the teacher's, [N, D]; None where nobody will look at them.
        cells: rows of these N, by seed.
    """

    stack: NDArray[np.int64]
    row: NDArray[np.int64]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.floating] | None
    adjustment: Adjustment
    classes: tuple[str, ...]
    cells: Mapping[int, Unit]

    def cell(
        self, pixels: Sequence[NDArray[np.uint8]], recipe: Recipe, architecture: str, seed: int
    ) -> tuple[Workload, Unit]:
        """One cell as `fit_unit` takes it: its own images and scores, the pool's first."""
        cell = self.cells[seed]
        rows, n = np.concatenate([cell.pool, cell.test]), len(cell.pool)
        seen = self.embeddings if self.adjustment.sees_images else None
        workload = Workload(
            gather(pixels, self.stack[rows], self.row[rows]),
            self.scores[..., rows, :],
            self.classes,
            recipe,
            architecture,
            {"versions": versions()},
            self.adjustment,
            None if seen is None else seen[rows],
        )
        return workload, Unit(seed, np.arange(n), np.arange(n, len(rows)))


def teach(
    group: Group, pixels: "Pixels", names: Sequence[str], *, embeddings: bool = False
) -> Taught:
    """What the fits of a group share.

    Args:
        group: a task by a teacher.
        pixels: the drawn images of all sources.
        names: the group's sources, in the order in which their arrays are handed to a worker.
        embeddings: keep them even where the adjustment does not look at them.
    """
    draw, rows = group.draw, group.rows
    adjustment = group.teacher.adjustment

    def at(ids: Sequence[str]) -> NDArray[np.int64]:
        return np.array([rows[image_id] for image_id in ids])

    return Taught(
        np.array([names.index(_source_of(image_id)) for image_id in draw.ids]),
        pixels.rows(draw.ids),
        group.asked.scores,
        group.asked.embeddings if embeddings or adjustment.sees_images else None,
        adjustment,
        draw.task.class_names,
        {cell.seed: Unit(cell.seed, at(cell.pool), at(cell.test)) for cell in draw.cells},
    )


def fit_one(
    uri: str,
    taught: Taught,
    pixels: Sequence[NDArray[np.uint8]],
    recipe: Recipe,
    architecture: str,
    seed: int,
) -> str | None:
    """Fit one cell into the folder of its unit; returns why it failed, in a line."""
    try:
        workload, unit = taught.cell(pixels, recipe, architecture, seed)
        device = None if ray.get_gpu_ids() else "cpu"  # a GPU may be there and not be ours
        fit_unit(Store(uri), workload, unit, keep_student=False, device=device)
    except Exception as error:  # whatever it is, it must not stop the others
        return f"{type(error).__name__}: {last_line(error)}"
    return None


class Pixels:
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
        """All drawn images of a source, in the object store."""
        if name not in self._refs:
            self._refs[name] = ray.put(self.array(name))
        return self._refs[name]

    def array(self, name: str) -> NDArray[np.uint8]:
        """All drawn images of a source, uint8 [n, S, S] or [n, S, S, 3]."""
        splits = self._sources[name].splits
        places = [image_id.rsplit("/", 2)[1:] for image_id in self._ids[name]]
        return np.stack([splits[split].images[int(index)] for split, index in places])

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Where each image is in its source's array."""
        return np.array([self._row[image_id] for image_id in ids])


def _source_of(image_id: str) -> str:
    return image_id.rsplit("/", 2)[0]


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
