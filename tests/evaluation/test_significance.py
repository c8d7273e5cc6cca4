import numpy as np
import pytest
from scipy import stats

from medlabel.errors import MedlabelError
from medlabel.evaluation.significance import corrected_t_test, wilcoxon_over_tasks

STUDENT = np.array([0.9, 0.8, 1.0, 0.7])
TEACHER = np.array([0.8, 0.8, 0.8, 0.8])  # differences 0.1, 0, 0.2, -0.1: mean 0.05


def test_wins_ties_and_losses():
    found = corrected_t_test(STUDENT, TEACHER, 100, 50)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.mean == pytest.approx(0.05)


def test_the_corrected_t_by_hand():
    # variance of the differences 0.05/3; times 1/4 + 50/100; its root is 0.1118034
    found = corrected_t_test(STUDENT, TEACHER, 100, 50)
    t = 0.05 / 0.1118034
    assert found.p == pytest.approx(2 * stats.t.sf(t, 3), abs=1e-6)
    assert found.high - found.mean == pytest.approx(3.1824463 * 0.1118034, abs=1e-6)
    assert found.low < 0 < found.high


def test_overlapping_draws_are_worth_less_than_a_plain_t_test_says():
    plain = stats.ttest_rel(STUDENT, TEACHER).pvalue
    assert corrected_t_test(STUDENT, TEACHER, 10**9, 1).p == pytest.approx(plain, abs=1e-6)
    assert corrected_t_test(STUDENT, TEACHER, 100, 50).p > plain


def test_no_difference_is_no_evidence_and_one_draw_none_either():
    assert corrected_t_test(TEACHER, TEACHER, 100, 50).p == 1
    assert np.isnan(corrected_t_test(STUDENT[:1], TEACHER[:1], 100, 50).p)


def test_over_tasks_by_hand():
    # six gains of one sign: 2 of the 64 sign patterns are as extreme
    gains = np.arange(1, 7) / 100
    found = wilcoxon_over_tasks(0.5 + gains, np.full(6, 0.5))
    assert found.p == pytest.approx(2 / 64)
    assert (found.wins, found.losses) == (6, 0)


def test_tasks_that_all_tie():
    assert wilcoxon_over_tasks(TEACHER, TEACHER).p == 1


def test_what_is_not_paired_is_refused():
    with pytest.raises(MedlabelError, match="in pairs"):
        corrected_t_test(STUDENT, TEACHER[:2], 100, 50)
