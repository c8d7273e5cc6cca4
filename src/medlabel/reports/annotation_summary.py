"""The summary of a folder of annotations: counts, a histogram, the least certain images, a page.

The table is read once, one file at a time and six columns of it: memory does not grow with the
number of images.
"""

import heapq
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medlabel.annotation.table import AnnotationTable, Piece
from medlabel.data.decoding import own_range_sentence
from medlabel.experiments.verdicts import read_verdict
from medlabel.reports.html import render
from medlabel.reports.verdict_section import verdict_section
from medlabel.storage.store import Store

__all__ = [
    "MOST_UNCERTAIN",
    "PAGE",
    "AnnotationSummary",
    "UncertainImage",
    "report_annotations",
    "summarise_annotations",
]

PAGE = "summary/index.html"
_COLUMNS = ("uri", "label", "confidence", "decision", "review_reasons", "own_range")
_BINS = 20
MOST_UNCERTAIN = 24
_THUMBNAIL = 84  # CSS pixels: a multiple of 28, so that the pixels of small images stay square
_REASONS = 50  # of rejects that the page lists; the table holds all


@dataclass(frozen=True, order=True)
class UncertainImage:
    """One of the images with the lowest confidence."""

    confidence: float
    uri: str
    label: str


@dataclass
class AnnotationSummary:
    """Counts over a table.

    Attributes:
        labels: number of images by label; of a class without any image, 0.
        automatic: number of those that need no review, by label.
        histogram: number of images by confidence, in twenty equal bins from 0 to 1, int64 [20].
        uncertain: the images with the lowest confidence, the lowest first.
        reviews: number of images that need review, by reason.
        reasons: number of rejects by reason.
        own_range: number of images that have more than 8 bits and no window.
    """

    labels: Counter[str] = field(default_factory=Counter)
    automatic: Counter[str] = field(default_factory=Counter)
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    uncertain: list[UncertainImage] = field(default_factory=list)
    reviews: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    own_range: int = 0

    @property
    def annotations(self) -> int:
        """Number of images with a label."""
        return self.labels.total()

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes that no image was given, if there are images at all."""
        return tuple(name for name, count in self.labels.items() if not count and self.annotations)

    @property
    def absence_sentence(self) -> str:
        """A sentence about `absent`; empty if each class has images."""
        names = ", ".join(repr(name) for name in self.absent)
        return f"None of the {self.annotations:,} images was labelled {names}." if names else ""

    @property
    def own_range_sentence(self) -> str:
        """A sentence about images that have no window; empty if there are none."""
        return own_range_sentence(self.own_range)

    @property
    def rejects(self) -> int:
        """Number of images without a label."""
        return self.reasons.total()

    def decisions(self) -> dict[str, Any]:
        """Numbers of images by decision, and by review reason, as plain JSON."""
        automatic = self.automatic.total()
        reasons = dict(sorted(self.reviews.items()))
        return {
            "auto": automatic, "review": self.annotations - automatic, "review_reasons": reasons
        }  # fmt: skip


def summarise_annotations(
    table: AnnotationTable, pieces: Sequence[Piece], classes: Sequence[str] = ()
) -> AnnotationSummary:
    """Summarise some pieces of a table; `classes` are counted even where they have no image."""
    seen = AnnotationSummary(labels=Counter(dict.fromkeys(classes, 0)))
    for piece in pieces:
        seen.reasons.update(reject.reason for reject in piece.rejects)
        rows = table.read(piece, _COLUMNS)
        labels = rows["label"].to_numpy()
        confidence = rows["confidence"].to_numpy()
        seen.labels.update(labels.tolist())
        seen.own_range += int(rows["own_range"].to_numpy().sum())
        seen.automatic.update(labels[rows["decision"].to_numpy() == "auto"].tolist())
        for why in rows["review_reasons"].to_pylist():
            seen.reviews.update(why.split(",") if why else ())
        seen.histogram += np.histogram(confidence, bins=_BINS, range=(0, 1))[0]
        worst = np.argsort(confidence, kind="stable")[:MOST_UNCERTAIN].tolist()
        uncertain = (
            UncertainImage(float(confidence[row]), rows["uri"][row].as_py(), str(labels[row]))
            for row in worst
        )
        seen.uncertain = heapq.nsmallest(MOST_UNCERTAIN, [*seen.uncertain, *uncertain])
    return seen


def report_annotations(
    store: Store,
    seen: AnnotationSummary,
    thumbnails: Mapping[str, NDArray[np.uint8]],
    facts: Mapping[str, str],
    changes: Sequence[str] = (),
) -> str:
    """Write the summary page, with the verdict of the folder; returns its full path.

    Args:
        store: the folder that `--out` names.
        seen: the summary.
        thumbnails: some images as the student sees them, uint8 [S, S] or [S, S, 3], by address.
        facts: name and value of the labels' provenance.
        changes: sentences about labels that were there before.
    """
    pictures = {uri: _data_uri(image) for uri, image in thumbnails.items()}
    page = render(
        "annotations.html.j2",
        seen=seen,
        verdict=verdict_section(read_verdict(store)),
        facts=facts,
        changes=changes,
        pictures=pictures,
        side=_THUMBNAIL,
        most=max(1, int(seen.histogram.max())),
        bins=[(number / _BINS, (number + 1) / _BINS) for number in range(_BINS)],
        reasons=seen.reasons.most_common(_REASONS),
    )
    store.write_utf8(PAGE, page)
    return store.path(PAGE)


def _data_uri(image: NDArray[np.uint8]) -> str:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
