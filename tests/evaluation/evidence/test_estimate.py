import numpy as np
import pandas as pd
import pytest

from medlabel.evaluation.evidence.estimate import (
    Estimator,
    is_useless,
    read_situations,
    shipped_estimator,
)
from medlabel.evaluation.evidence.signals import ENSEMBLE_SIGNALS, SIGNALS


def table(accuracy, agreement, classes=2):
    """Situations that differ in one signal."""
    constant = dict.fromkeys(SIGNALS, 0.5) | {f"alone_{name}": 0.5 for name in SIGNALS}
    constant |= {f"alone_{name}": np.nan for name in ENSEMBLE_SIGNALS}
    rows = {**constant, "agreement": agreement, "alone_assigned": agreement}
    return pd.DataFrame({**rows, "classes": classes, "accuracy": accuracy})


def signals(**own):
    return dict.fromkeys(SIGNALS, 0.5) | own


@pytest.fixture(scope="module")
def good_and_bad():
    return table([0.5, 0.52, 0.54] * 4 + [0.96, 0.98, 1.0] * 4, [0.0] * 12 + [1.0] * 12)


@pytest.fixture(scope="module")
def estimator(good_and_bad):
    return Estimator(good_and_bad)


@pytest.mark.parametrize(
    ("classes", "useless", "enough"),
    [(2, 0.69, 0.71), (3, 0.48, 0.49), (4, 0.39, 0.41), (10, 0.24, 0.26)],
)
def test_useless_is_below_07_with_two_classes_and_near_chance_with_more(classes, useless, enough):
    found = is_useless(np.array([useless, enough]), np.array([classes, classes]))
    assert found.tolist() == [True, False]


def test_a_task_is_estimated_by_its_likes(estimator):
    bad = estimator.estimate(signals(agreement=0.0), 2)
    good = estimator.estimate(signals(agreement=1.0), 2)
    assert bad.useless == pytest.approx(1)
    assert good.useless == pytest.approx(0)
    assert 0.5 <= bad.low <= bad.accuracy <= bad.high <= 0.54
    assert 0.96 <= good.low <= good.accuracy <= good.high <= 1


def test_the_interval_spans_the_likes_and_the_weights_are_theirs():
    # two situations with the same signals are always in one leaf: each counts half
    found = Estimator(table([0.2, 1.0], [0.5, 0.5])).estimate(signals(), 2)
    assert (found.low, found.high) == pytest.approx((0.2, 1.0))
    assert found.accuracy == pytest.approx(0.6)
    assert found.useless == pytest.approx(0.5)


def test_the_same_table_gives_the_same_estimate(good_and_bad, estimator):
    again = Estimator(good_and_bad)
    for agreement in (0.0, 0.4, 0.9):
        task = signals(agreement=agreement)
        assert again.estimate(task, 2) == estimator.estimate(task, 2)


def test_one_teacher_is_estimated_without_the_signals_of_several(good_and_bad):
    alone = Estimator(good_and_bad, alone=True)
    assert not set(alone.names) & set(ENSEMBLE_SIGNALS)
    task = signals(assigned=1.0) | dict.fromkeys(ENSEMBLE_SIGNALS, np.nan)
    assert alone.estimate(task, 2).accuracy >= 0.96


def test_the_package_has_situations_with_all_signals():
    shipped = read_situations()
    wanted = {*SIGNALS, *(f"alone_{name}" for name in SIGNALS), "accuracy", "classes"}
    assert wanted <= set(shipped.columns)
    assert len(shipped) >= 200
    assert shipped["accuracy"].between(0, 1).all()
    assert not shipped[list(SIGNALS)].isna().any(axis=None)
    assert shipped["situation"].is_unique


def test_the_shipped_estimator_is_fitted_once():
    assert shipped_estimator() is shipped_estimator()
