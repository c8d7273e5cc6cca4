"""The true labels, sealed against use in anything but evaluation.

`sample_cells` returns the true labels as a `SealedTruth`, which only `medlabel.evaluation.metrics`
unseals. It has no array interface and refuses to be pickled, so it cannot be passed to a Ray task
by mistake.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.storage.store import Store

__all__ = ["SealedTruth", "TruthIsSealedError"]

_TABLE = "truth.parquet"


class TruthIsSealedError(TypeError):
    """Raised when true labels would leave the evaluating process or become an array."""


class SealedTruth:
    """The true class index of each image, by image id; only evaluation calls `unseal`."""

    def __init__(self, image_ids: Sequence[str], labels: Sequence[int]) -> None:
        self._labels = dict(zip(image_ids, labels, strict=True))

    def unseal(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the true class indices of some images, int64 [N]. For evaluation only.

        Raises:
            MedlabelError: the label of an image is unknown.
        """
        try:
            return np.array([self._labels[image_id] for image_id in image_ids], dtype=np.int64)
        except KeyError as error:
            raise MedlabelError(f"no true label is known for image {error.args[0]}") from error

    def save(self, store: Store) -> None:
        """Write the labels to a run folder, as a table with columns `image_id` and `label`."""
        rows = sorted(self._labels.items())
        store.write_table(_TABLE, pd.DataFrame(rows, columns=["image_id", "label"]))

    @classmethod
    def load(cls, store: Store) -> "SealedTruth":
        """Read the labels from a run folder."""
        frame = store.read_table(_TABLE)
        return cls(frame["image_id"].tolist(), frame["label"].tolist())

    def __reduce__(self) -> NoReturn:
        raise TruthIsSealedError("truth is sealed: it may not be sent to another process")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TruthIsSealedError("truth is sealed: only medlabel.evaluation.metrics unseals it")

    def __repr__(self) -> str:
        return f"SealedTruth({len(self._labels)} images)"
