"""Where one label comes from, and whether it can be reproduced.

The image is read again and given to the same student, at the same place in a batch of the same
size; label and probabilities are compared bit for bit. On other hardware the last digits may
differ; then the explanation says by how much.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medlabel.annotation.images import contents_of
from medlabel.annotation.table import MANIFEST, REJECTS, AnnotationTable, Layout, Piece
from medlabel.data.decoding import ImageError
from medlabel.data.framing import chroma_of
from medlabel.data.listing import digest_of, pixels_of
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import spellings
from medlabel.storage.store import Store
from medlabel.student.bundle import Bundle, load_bundle
from medlabel.student.decision import Assessment

__all__ = ["Explanation", "explain", "layout_of"]


@dataclass(frozen=True)
class Explanation:
    """A row of the table, and the result of computing it again.

    Attributes:
        row: the annotation, by column.
        probabilities: computed again, by class.
        ood_score: computed again; None if the student has none.
        same_content: whether the image is still the one that was labelled.
        same_weights: whether the student is still the one that labelled it.
        piece: name of the table's file that holds the row.
    """

    row: Mapping[str, Any]
    probabilities: Mapping[str, float]
    ood_score: float | None
    same_content: bool
    same_weights: bool
    piece: str

    @property
    def label(self) -> str:
        """The label, computed again."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    @property
    def difference(self) -> float:
        """The largest absolute difference between a probability then and now."""
        return float(max(abs(p - self.row[f"p_{name}"]) for name, p in self.probabilities.items()))

    @property
    def reproduced(self) -> bool:
        """Whether label, probabilities and out-of-distribution score are the same, bit for bit."""
        unchanged = self.same_content and self.same_weights
        alike = self.label == self.row["label"] and self.ood_score == self.row["ood_score"]
        return unchanged and alike and self.difference == 0


def layout_of(bundle: Bundle) -> Layout:
    """How images are preprocessed for a student and split into pieces and batches."""
    return Layout.of(bundle.square)


def explain(store: Store, image: str) -> Explanation:
    """Find an image's annotation and compute it again.

    Args:
        store: a folder of annotations.
        image: its address as in the table, or a unique end of it.

    Raises:
        MedlabelError: there is no such annotation, or the image or the student is missing.
    """
    piece, row = _find(store, image)
    asked = store.read_json(MANIFEST)["asked"]
    bundle = load_bundle(asked[-1]["bundle"])
    content = next(contents_of([row["uri"]], asked))
    if isinstance(content, ImageError):
        raise MedlabelError(f"{row['uri']} cannot be read any more: {content.reason}")
    layout, place = layout_of(bundle), row["place"]
    batch = np.zeros((layout.batch, *layout.square.shape), dtype=np.uint8)
    chroma = np.zeros(layout.batch, dtype=np.float32)
    pixels = pixels_of(content)
    batch[place], chroma[place] = layout.square(pixels), chroma_of(pixels)
    found = _assess(bundle, batch, chroma)
    (ood_score,) = found.ood_score[place : place + 1].tolist()
    return Explanation(
        row,
        dict(zip(bundle.classes, found.probabilities[place].tolist(), strict=True)),
        None if math.isnan(ood_score) else ood_score,
        digest_of(content).hex() == row["digest"],
        bundle.provenance.get("sha256") == row["weights"],
        piece.name,
    )


def _assess(bundle: Bundle, batch: NDArray[np.uint8], chroma: NDArray[np.float32]) -> Assessment:
    """The student's assessment of a batch, with one thread as when annotating."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return bundle.assess(batch, chroma)
    finally:
        torch.set_num_threads(threads)


def _find(store: Store, image: str) -> tuple[Piece, dict[str, Any]]:
    """The piece and the row of an image."""
    table = AnnotationTable(store)
    within = tuple(f"/{end}" for end in spellings(image))
    wanted = spellings(image) | spellings(os.path.abspath(image))
    ends: list[tuple[Piece, int]] = []
    for piece in table.pieces():
        for place, uri in enumerate(table.read(piece, ["uri"])["uri"].to_pylist()):
            if uri in wanted:
                return piece, table.read(piece).slice(place, 1).to_pylist()[0]
            if uri.endswith(within):
                ends.append((piece, place))
    if len(ends) == 1:
        piece, place = ends[0]
        return piece, table.read(piece).slice(place, 1).to_pylist()[0]
    raise MedlabelError(_why_not(store, image, wanted, within, len(ends)))


def _why_not(store: Store, image: str, wanted: set[str], within: tuple[str, ...], ends: int) -> str:
    if ends:
        return f"{ends} annotations end with /{image}: give more of the path"
    if not store.exists(MANIFEST):
        return f"{store.uri} holds no annotations: run `medlabel annotate` first"
    if store.exists(REJECTS):
        rejects = store.read_table(REJECTS)
        mine = rejects[rejects["uri"].isin(wanted) | rejects["uri"].str.endswith(within)]
        if len(mine):
            return f"{mine['uri'].iloc[0]} has no label: {mine['reason'].iloc[0]}"
    return f"{store.uri} has no annotation of {image}"
