"""Paired significance tests of student against teacher, over random samples or over tasks.

| data | test | why not the plain t-test |
| --- | --- | --- |
| one task, many seeds | `corrected_t_test` | samples overlap, so they vary too little |
| many tasks | `wilcoxon_over_tasks` | tasks differ in difficulty (Demsar 2006) |
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from medlabel.errors import MedlabelError

__all__ = ["Comparison", "corrected_t_test", "wilcoxon_over_tasks"]


@dataclass(frozen=True)
class Comparison:
    """The comparison of two paired series of figures.

    Attributes:
        mean: the mean difference, first minus second.
        low: lower end of the 95 % confidence interval of the mean; NaN if there is none.
        high: its upper end.
        p: two-sided p-value of no difference; 1 if no pair differs, NaN for a single pair.
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
    """Compare figures [J] of J random samples of one task, whose images overlap.

    The variance of the mean is (1/J + n_test/n_train) times that of the differences, with J - 1
    degrees of freedom (Nadeau & Bengio 2003, eq. 10 and section 5), where a plain t-test has 1/J.

    >>> corrected_t_test(np.array([0.9, 0.8, 0.85]), np.array([0.8, 0.8, 0.8]), 80, 20).wins
    2

    Args:
        first: one figure per sample, for example the student's accuracy.
        second: figures to compare with, on the same samples.
        n_train: number of training images per sample.
        n_test: number of test images per sample.
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
    """Compare one figure per task, [T], by Wilcoxon's signed-rank test without ties."""
    gains = _differences(first, second)
    p = float(stats.wilcoxon(gains).pvalue) if np.any(gains) else 1.0
    return _comparison(gains, np.nan, np.nan, p)


def _differences(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the differences, float64 [J]; rounding errors count as zero."""
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise MedlabelError(
            f"figures to compare come in pairs, not as {first.shape} and {second.shape}"
        )
    gains = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.where(np.abs(gains) < 1e-12, 0.0, gains)


def _comparison(gains: NDArray[np.float64], low: float, high: float, p: float) -> Comparison:
    won, lost = int((gains > 0).sum()), int((gains < 0).sum())
    return Comparison(float(gains.mean()), low, high, p, won, len(gains) - won - lost, lost)
