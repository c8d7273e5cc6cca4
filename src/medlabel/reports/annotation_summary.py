"""What a folder of annotations looks like from above: counts, a histogram, the doubtful, a page.

One pass over the table, a file at a time, five columns of it: memory does not grow with the number
of images.
"""

import heapq
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from medlabel.annotation.table import AnnotationTable, Piece
from medlabel.storage.store import Store

__all__ = [
    "PAGE",
    "AnnotationSummary",
    "UncertainImage",
    "report_annotations",
    "summarise_annotations",
]

PAGE = "summary/index.html"
_BINS = 20
_MOST_UNCERTAIN = 24
_THUMBNAIL = 84  # CSS pixels; each pixel of a small image stays a square
_REASONS = 50  # of rejects that the page lists; the table has them all


@dataclass(frozen=True, order=True)
class UncertainImage:
    """One of the images that the student was least certain of."""

    confidence: float
    uri: str
    label: str


@dataclass
class AnnotationSummary:
    """Sums over a table.

    Attributes:
        labels: images by label.
        automatic: of them, those that no human has to see.
        histogram: images by confidence, in twenty equal bins from 0 to 1.
        uncertain: the least certain images, worst first.
        reviews: images that a human has to see, by what is doubted.
        reasons: rejects by reason.
    """

    labels: Counter[str] = field(default_factory=Counter)
    automatic: Counter[str] = field(default_factory=Counter)
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    uncertain: list[UncertainImage] = field(default_factory=list)
    reviews: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def annotations(self) -> int:
        """Images that have a label."""
        return self.labels.total()

    @property
    def rejects(self) -> int:
        """Images that have none."""
        return self.reasons.total()


def summarise_annotations(table: AnnotationTable, pieces: Sequence[Piece]) -> AnnotationSummary:
    """Sum up some pieces of a table."""
    seen = AnnotationSummary()
    for piece in pieces:
        seen.reasons.update(reason for _, reason in piece.rejects)
        rows = table.read(piece, ["uri", "label", "confidence", "decision", "review_reasons"])
        labels = rows["label"].to_numpy()
        confidence = rows["confidence"].to_numpy()
        seen.labels.update(labels.tolist())
        seen.automatic.update(labels[rows["decision"].to_numpy() == "auto"].tolist())
        for why in rows["review_reasons"].to_pylist():
            seen.reviews.update(why.split(",") if why else ())
        seen.histogram += np.histogram(confidence, bins=_BINS, range=(0, 1))[0]
        worst = np.argsort(confidence, kind="stable")[:_MOST_UNCERTAIN].tolist()
        uncertain = (
            UncertainImage(float(confidence[row]), rows["uri"][row].as_py(), str(labels[row]))
            for row in worst
        )
        seen.uncertain = heapq.nsmallest(_MOST_UNCERTAIN, [*seen.uncertain, *uncertain])
    return seen


def report_annotations(
    store: Store,
    seen: AnnotationSummary,
    thumbnails: Mapping[str, NDArray[np.uint8]],
    facts: Mapping[str, str],
) -> str:
    """Write the summary page; returns its full path.

    Args:
        store: the folder that `--out` names.
        seen: what to tell.
        thumbnails: what the student saw of some images, uint8 [S, S] or [S, S, 3], by address.
        facts: name and value of what the labels were made with.
    """
    environment = Environment(
        loader=PackageLoader("medlabel.reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    pictures = {uri: _data_uri(image) for uri, image in thumbnails.items()}
    page = environment.get_template("annotations.html.j2").render(
        seen=seen,
        facts=facts,
        pictures=pictures,
        side=_THUMBNAIL,
        most=max(1, int(seen.histogram.max())),
        bins=[(number / _BINS, (number + 1) / _BINS) for number in range(_BINS)],
        reasons=seen.reasons.most_common(_REASONS),
    )
    store.write(PAGE, page.encode())
    return store.path(PAGE)


def _data_uri(image: NDArray[np.uint8]) -> str:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"
