"""The choice between the best trial of a search and the default, without true labels.

The default is the recipe that the search started from. It is measured like a trial, on the same
seeds and the same held-out images, and it stays unless the best trial is shown to be better: unless
the 95 % confidence interval of the difference of their agreements lies above zero. The best of many
trials is the one that was luckiest, too, so the higher of two figures is not enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.evaluation.diagnostics import student_agreement
from medlabel.evaluation.significance import corrected_t_test
from medlabel.experiments.tune_spec import TaskSignals

__all__ = ["Choice", "agreement_by_seed", "choose"]

TaskSeeds = Sequence[Sequence[TaskSignals]]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """The best trial against the default.

    Attributes:
        seeds: number of seeds on which both were measured.
        best_trial: agreement of the best trial.
        default: agreement of the default on the same seeds.
        low: lower end of the 95 % confidence interval of `gain`; NaN if there is none.
        high: its upper end.
    """

    seeds: int
    best_trial: float
    default: float
    low: float
    high: float

    @property
    def gain(self) -> float:
        """Agreement of the best trial minus that of the default."""
        return self.best_trial - self.default

    @property
    def keeps_default(self) -> bool:
        """Whether the default is published, because no trial is shown to be better.

        >>> Choice(8, best_trial=0.92, default=0.88, low=-0.01, high=0.09).keeps_default
        True
        """
        return not self.low > 0

    def to_json(self) -> dict[str, Any]:
        """Return the content of `choice` in `winner.json`; NaN becomes null."""
        facts = {**asdict(self), "gain": self.gain}
        known = {name: None if np.isnan(value) else value for name, value in facts.items()}
        return {**known, "keeps_default": self.keeps_default}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Choice":
        """Read what `to_json` returned."""
        names = ("best_trial", "default", "low", "high")
        known = {name: float("nan" if found[name] is None else found[name]) for name in names}
        return cls(int(found["seeds"]), **known)

    def sentence(self) -> str:
        """Say which of the two is published, and by how much they differ.

        >>> print(Choice(8, best_trial=0.699, default=0.853, low=-0.2, high=-0.1).sentence())
        The default stays: no trial is shown to be better. Over 8 seeds the best trial has an \
agreement of 0.699 and the default 0.853, a difference of -0.154 (95 % interval -0.200 to -0.100).
        """
        result = "stays: no trial is shown to be better" if self.keeps_default else "is replaced"
        return (
            f"The default {result}. Over {self.seeds} seeds the best trial has an agreement of "
            f"{self.best_trial:.3f} and the default {self.default:.3f}, a difference of "
            f"{self.gain:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f})."
        )


def choose(
    best_trial: TaskSeeds, default: TaskSeeds, classes: Sequence[int], n_train: int, n_test: int
) -> Choice:
    """Compare the best trial with the default, seed by seed.

    Args:
        best_trial: for each task, the trial's seeds.
        default: for each task, the same seeds of the default.
        classes: number of classes of each task.
        n_train: number of training images per seed.
        n_test: number of held-out images per seed.
    """
    first, second = (agreement_by_seed(tasks, classes) for tasks in (best_trial, default))
    found = corrected_t_test(first, second, n_train, n_test)
    return Choice(len(first), float(first.mean()), float(second.mean()), found.low, found.high)


def agreement_by_seed(tasks: TaskSeeds, classes: Sequence[int]) -> Values:
    """Return the objective by seed, float64 [J], whose mean is `tune_spec.agreement`.

    `neighbours` and `balance` are figures of one seed. `students` is one of pairs: its value for a
    seed is the jackknife's pseudo-value, from the figure with and without that seed (Efron &
    Stein 1981), so that the variation over seeds is that of the mean.

    Args:
        tasks: for each task, J seeds, two or more.
        classes: number of classes of each task.
    """
    measures = [
        measure
        for seeds, k in zip(tasks, classes, strict=True)
        for measure in (
            _students([seed.labels for seed in seeds], k),
            np.array([seed.signals.neighbours for seed in seeds]),
            np.array([seed.signals.balance for seed in seeds]),
        )
    ]
    mean: Values = np.mean(measures, axis=0)
    return mean


def _students(labels: Sequence[Mapping[str, int]], k: int) -> Values:
    """Return the pseudo-values of `students`; two seeds have one pair, and its figure twice."""
    n = len(labels)
    pairs = np.array([_kappa(labels[s : s + 2], k) for s in range(n - 1)])
    if n == 2:
        return np.full(2, pairs[0])
    bridges = [_kappa(labels[s - 1 : s + 2 : 2], k) for s in range(1, n - 1)]  # s left out
    lost = np.array([0.0, *pairs]) + np.array([*pairs, 0.0])
    without = (pairs.sum() - lost + np.array([0.0, *bridges, 0.0])) / (n - 2)
    values = n * pairs.mean() - (n - 1) * without
    centred: Values = values + (pairs.mean() - values.mean())
    return centred


def _kappa(labels: Sequence[Mapping[str, int]], k: int) -> float:
    found = student_agreement(labels, k)
    return float("nan") if found is None else found
