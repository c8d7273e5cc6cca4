"""How images are split into pieces and batches, and what is the same in all rows of a table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medlabel.data.framing import CentreSquare
from medlabel.storage.digests import hex_digest
from medlabel.student.provenance import read_learned_from
from medlabel.student.verdict import verdict_of

_MOST_ROWS, _LARGEST = 8192, 2**26  # of a piece: rows, bytes of pixels
_BATCH, _SMALL_BATCH = 256, 32
_MOST_FILES = 512  # in a piece, so that several readers share a folder


@dataclass(frozen=True)
class Layout:
    """How images are split into pieces, and pieces into batches; it follows from the student alone.

    Attributes:
        square: preprocessing of an image for the student.
        rows: number of rows per piece; a multiple of `batch`.
        batch: number of images per batch.
    """

    square: CentreSquare
    rows: int
    batch: int

    @classmethod
    def of(cls, square: CentreSquare) -> "Layout":
        """Pieces of at most 8,192 images and 64 MiB."""
        rows = min(_MOST_ROWS, _LARGEST // int(np.prod(square.shape)))
        batch = _BATCH if rows >= _BATCH else _SMALL_BATCH
        return cls(square, max(batch, rows // batch * batch), batch)

    @property
    def files(self) -> int:
        """Number of rows per piece where each image is a file of its own."""
        return min(self.rows, max(1, _MOST_FILES // self.batch) * self.batch)


@dataclass(frozen=True)
class Origin:
    """The provenance of labels: the columns that are the same in every row, in order."""

    bundle: str
    weights: str
    teacher: str
    teacher_model: str
    captions: str
    recipe: str
    seed: int
    auto_above: float
    verdict: str
    doubtful_below: float
    learned_from: str
    versions: str
    time: str

    @classmethod
    def of(
        cls,
        bundle_id: str,
        provenance: Mapping[str, Any],
        auto_above: float,
        versions: str,
        time: str,
    ) -> "Origin":
        """From a bundle's provenance; unknown fields are empty, an unknown seed is -1."""
        teacher = provenance.get("teacher") or {}
        recipe = provenance.get("recipe") or {}
        captions, verdict = teacher.get("captions"), verdict_of(provenance)
        spelled = json.dumps(captions, sort_keys=True).encode()
        return cls(
            bundle_id,
            str(provenance.get("sha256", "")),
            str(teacher.get("name", "")),
            str(teacher.get("model", "")),
            hex_digest(spelled, 32) if captions else "",
            str(recipe.get("name", "")),
            int(provenance.get("seed", -1)),
            auto_above,
            verdict.level if verdict else "",
            verdict.doubtful_below if verdict else 0.0,
            read_learned_from(provenance) or "",
            versions,
            time,
        )
