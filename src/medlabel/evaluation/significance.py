"""Student against teacher over many draws or many tasks, by tests that respect what they share.

| question | test | why not the plain t-test |
| --- | --- | --- |
| one task, many draws | `corrected_t_test` | samples overlap, so they vary too little |
| many tasks | `wilcoxon_over_tasks` | tasks differ in difficulty; ranks do not mind (Demsar 2006) |
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from medlabel.errors import MedlabelError

__all__ = ["Comparison", "corrected_t_test", "wilcoxon_over_tasks"]


@dataclass(frozen=True)
class Comparison:
    """How two paired rows of figures differ.

    Attributes:
        mean: the mean difference, first minus second.
        low: lower end of the 95 % confidence interval of the mean; NaN where there is none.
        high: its upper end.
        p: two-sided p-value of "there is no difference"; 1 where no pair differs, and NaN where
            one pair is all there is.
        wins: pairs in which the first is higher.
        ties: pairs that are equal.
        losses: pairs in which the second is higher.
    """

    mean: float
    low: float
    high: float
    p: float
    wins: int
    ties: int
    losses: int


def corrected_t_test(
    first: NDArray[np.floating], second: NDArray[np.floating], n_train: int, n_test: int
) -> Comparison:
    """Compare figures [J] of J random draws of one task, whose images overlap.

    The variance of the mean is (1/J + n_test/n_train) times that of the differences, with J - 1
    degrees of freedom (Nadeau & Bengio 2003, eq. 10 and section 5), where a plain t-test has 1/J.

    Args:
        first: one figure per draw, the student's for example.
        second: the other's on the same draws.
        n_train: images that a draw learns from.
        n_test: images that a draw is judged on.
    """
    gains = _differences(first, second)
    j, mean = len(gains), float(gains.mean())
    if j == 1:
        return _comparison(gains, np.nan, np.nan, np.nan)
    error = float(np.sqrt((1 / j + n_test / n_train) * gains.var(ddof=1)))
    if error == 0:
        return _comparison(gains, mean, mean, 1.0 if mean == 0 else 0.0)
    p = 2 * float(stats.t.sf(abs(mean) / error, j - 1))
    reach = float(stats.t.ppf(0.975, j - 1)) * error
    return _comparison(gains, mean - reach, mean + reach, p)


def wilcoxon_over_tasks(first: NDArray[np.floating], second: NDArray[np.floating]) -> Comparison:
    """Compare one figure per task [T] by Wilcoxon's signed ranks; pairs that tie are left out."""
    gains = _differences(first, second)
    p = float(stats.wilcoxon(gains).pvalue) if np.any(gains) else 1.0
    return _comparison(gains, np.nan, np.nan, p)


def _differences(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Differences float64 [J]; those of the last binary digit are none."""
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise MedlabelError(
            f"figures to compare come in pairs, not as {first.shape} and {second.shape}"
        )
    gains = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.where(np.abs(gains) < 1e-12, 0.0, gains)


def _comparison(gains: NDArray[np.float64], low: float, high: float, p: float) -> Comparison:
    won, lost = int((gains > 0).sum()), int((gains < 0).sum())
    return Comparison(float(gains.mean()), low, high, p, won, len(gains) - won - lost, lost)
