"""Estimate the accuracy of labels from the signals, by situations whose outcome is known.

`situations.csv` has a row per situation of `benchmarks/guessing`: its signals, and the accuracy of
the student that was trained there. A forest of extremely randomised trees (Geurts et al. 2006)
learns the accuracy from the signals. The situations that share leaves with a new task are the
most similar ones, and their accuracies are a distribution for its own (quantile regression forests,
Meinshausen 2006).

| name | meaning |
| --- | --- |
| useless | an accuracy below 0.7 with two classes, or within 0.15 of chance with more |
| `useless` | the weight of the situations that were so, among the most similar ones |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from medlabel.evaluation.evidence.signals import ENSEMBLE_SIGNALS, SIGNALS

__all__ = ["Estimated", "Estimator", "is_useless", "read_situations", "shipped_estimator"]

Floats = NDArray[np.float64]

_TREES = 400
_ALONE = "alone_"  # before the names of the signals of the first teacher without any other
_INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class Estimated:
    """An estimate for one task.

    Attributes:
        accuracy: of the student's labels, the median of the most similar situations, from 0 to 1.
        low: lower end of the 90 % interval.
        high: upper end of it.
        useless: weight of the similar situations whose labels were useless, from 0 to 1.
    """

    accuracy: float
    low: float
    high: float
    useless: float


def is_useless(accuracy: Floats, classes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether labels of these accuracies [N] are useless, given the numbers of classes [N].

    >>> is_useless(np.array([0.69, 0.69, 0.2]), np.array([2, 4, 8])).tolist()
    [True, False, True]
    """
    return np.where(classes == 2, accuracy < 0.7, accuracy < 1 / classes + 0.15)


class Estimator:
    """A forest over situations.

    Args:
        situations: a row per situation, with `accuracy`, `classes` and a column per signal.
        alone: whether there is one teacher only.
    """

    def __init__(self, situations: pd.DataFrame, *, alone: bool = False) -> None:
        self.names = [name for name in SIGNALS if not (alone and name in ENSEMBLE_SIGNALS)]
        columns = [f"{_ALONE}{name}" if alone else name for name in self.names]
        signals = situations[columns].set_axis(self.names, axis=1)
        known = _features(signals, situations["classes"].to_numpy())
        self._accuracy = situations["accuracy"].to_numpy(dtype=np.float64)
        self._useless = is_useless(self._accuracy, situations["classes"].to_numpy())
        self._forest = ExtraTreesRegressor(_TREES, max_features=0.8, random_state=0)
        self._forest.fit(known, self._accuracy)
        self._leaves = self._forest.apply(known)

    def estimate(self, signals: Mapping[str, float], classes: int) -> Estimated:
        """Estimate the accuracy of a task's labels.

        Args:
            signals: of `compute_evidence_signals`.
            classes: number of classes.
        """
        table = pd.DataFrame([{name: signals[name] for name in self.names}])
        row = _features(table, np.array([classes]))
        same = self._leaves == self._forest.apply(row)
        weights = (same / same.sum(axis=0)).mean(axis=1)
        low, middle, high = _quantiles(self._accuracy, weights, (_INTERVAL[0], 0.5, _INTERVAL[1]))
        return Estimated(middle, low, high, float(weights @ self._useless))


def _features(signals: pd.DataFrame, classes: NDArray[np.int64]) -> Floats:
    """The signals, the number of classes, and combinations that trees find hard to build."""
    steady = np.minimum(signals["wordings"], signals["views"])
    known = 1 - signals["unknown"]
    found: list[Any] = [signals, steady, known * signals["meaning"], known * signals["assigned"]]
    if "agreement" in signals:
        agreement = signals["agreement"]
        found += [
            agreement * signals["assigned"], agreement * signals["nearness"],
            np.minimum(agreement, signals["wordings"]), np.minimum(agreement, steady),
            np.minimum(signals["look_agreement"], signals["drawing_agreement"]),
        ]  # fmt: skip
    return np.column_stack([*found, classes])


def _quantiles(values: Floats, weights: Floats, shares: Sequence[float]) -> list[float]:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) - weights[order] / 2
    return [float(np.interp(share, reached, values[order])) for share in shares]


def read_situations() -> pd.DataFrame:
    """Return the situations that come with the package."""
    with (files("medlabel.evaluation.evidence") / "situations.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


@cache
def shipped_estimator(alone: bool = False) -> Estimator:
    """The estimator of the package's situations; fitted once, in about a second."""
    return Estimator(read_situations(), alone=alone)
