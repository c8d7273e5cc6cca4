"""The labels that an audit is about, as they were when its sample was drawn.

A guarantee is about the population that was sampled. Labels that are added later are not covered by
it, and do not end it. Labels that are replaced or removed later leave a part of the population, in
which the share of wrong labels may be higher: in the worst case all that are wrong remain.

A label is identified by what it says: address and content of the image, label, confidence and
out-of-distribution score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medlabel.annotation.guarantee import Guarantee
from medlabel.annotation.table import AnnotationTable, Piece
from medlabel.errors import MedlabelError
from medlabel.storage.digests import DIGEST_BYTES, Digests, digest_bytes, to_digests
from medlabel.storage.store import Store
from medlabel.student.decision import ranking_scores

__all__ = ["Population", "label_digests", "lowest_precision", "read_labels", "read_population"]

_STEM = "audit/population"
_COLUMNS = ["uri", "digest", "label", "confidence", "ood_score"]
_NO_CHANCE = np.float32(np.nan)


@dataclass(frozen=True)
class Population:
    """N labels, in the table's order.

    Attributes:
        digests: what identifies each label, [N].
        ranking_scores: see `medlabel.student.decision.ranking_scores`, float32 [N].
        labels: class indices, int32 [N].
    """

    digests: Digests
    ranking_scores: NDArray[np.float32]
    labels: NDArray[np.int32]

    def write(self, store: Store) -> str:
        """Write it into a folder of annotations; returns the name of the file."""
        ids = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(DIGEST_BYTES), len(self.digests), [None, pa.py_buffer(self.digests.tobytes())]
        )
        columns = {"id": ids, "rank": self.ranking_scores, "label": self.labels}
        buffer = BytesIO()
        pq.write_table(pa.table(columns), buffer, compression="zstd", use_dictionary=False)
        return store.write_checked(_STEM, ".parquet", buffer.getvalue())


def read_population(store: Store, name: str) -> Population:
    """The population that `Population.write` wrote.

    Raises:
        MedlabelError: it is missing, or was damaged since.
    """
    data = store.read_checked(name)
    if data is None:
        raise MedlabelError(
            f"{store.path(name)} was damaged after it was written: plan again with `medlabel audit "
            "plan --again`"
        )
    table = pq.read_table(BytesIO(data))
    return Population(
        to_digests(table["id"].to_pylist()), table["rank"].to_numpy(), table["label"].to_numpy()
    )


def read_labels(store: Store, pieces: Sequence[Piece], classes: Sequence[str]) -> Population:
    """All labels of a folder of annotations as they are now."""
    table, places = AnnotationTable(store), {name: place for place, name in enumerate(classes)}
    digests, ranked, labels = [], [], []
    for piece in pieces:
        rows = table.read(piece, _COLUMNS)
        digests.append(label_digests(rows))
        ranked.append(ranking_scores(rows["confidence"].to_numpy(), rows["ood_score"].to_numpy()))
        labels.append(np.array([places[name] for name in rows["label"].to_pylist()], np.int32))
    return Population(np.concatenate(digests), np.concatenate(ranked), np.concatenate(labels))


def label_digests(rows: pa.Table) -> Digests:
    """What identifies each of some labels, [N]."""
    uris, contents, labels, confidences, ood_scores = (rows[name].to_pylist() for name in _COLUMNS)
    numbers = np.array([confidences, [_NO_CHANCE if o is None else o for o in ood_scores]])
    return to_digests([
        digest_bytes(f"{uri}\0{content}\0{label}\0".encode() + pair.tobytes())
        for uri, content, label, pair in zip(
            uris, contents, labels, numbers.astype("<f4").T, strict=True
        )
    ])  # fmt: skip


def lowest_precision(accepted: Guarantee, precision: float, gone: int) -> float:
    """The share of right labels that is guaranteed of accepted labels when some are gone.

    Args:
        accepted: the guarantee for all that were accepted.
        precision: the share that was guaranteed.
        gone: how many of the accepted labels have been replaced or removed since.

    Examples:
        Of 1,000 labels of which 10 may be wrong, 500 are gone; all 10 may be left:

        >>> from medlabel.annotation.guarantee import ThresholdTest
        >>> test = ThresholdTest(0.5, images=1000, asked=500, wrong=0, p=0.01)
        >>> round(lowest_precision(Guarantee(1000, 0.99, 0.05, test, None, test), 0.99, 500), 3)
        0.98
    """
    images = accepted.accepted.images if accepted.accepted else 0
    wrong = math.floor((1 - precision) * images + 1e-9)
    left = images - gone
    return max(0.0, 1 - wrong / left) if left else 0.0
