from dataclasses import replace

import numpy as np
import pytest

from medlabel.errors import MedlabelError
from medlabel.student.decision import Assessment, check_auto_above, ranking_scores, review_reasons


def assessment_of(confidence, ood_score=0.5, calibrated=True):
    best = np.array(confidence, dtype=np.float32)
    scores = np.full(len(best), ood_score, dtype=np.float32)
    return Assessment(np.stack([best, 1 - best], axis=1), scores, calibrated)


@pytest.mark.parametrize(
    ("best", "ood_score", "calibrated", "reasons"),
    [
        (0.95, 0.5, True, ()),
        (0.85, 0.5, True, ("low_confidence",)),
        (0.95, 1.5, True, ("out_of_distribution",)),
        (0.95, np.inf, True, ("out_of_distribution",)),
        (0.85, 1.5, True, ("low_confidence", "out_of_distribution")),
        (0.95, np.nan, False, ("uncalibrated",)),
    ],
)
def test_review_reasons_are_named(best, ood_score, calibrated, reasons):
    assert review_reasons(assessment_of([best], ood_score, calibrated), 0.9) == [reasons]


def test_no_label_is_accepted_if_the_teacher_was_guessing():
    found = replace(assessment_of([1.0, 0.8]), guessing=True)
    assert review_reasons(found, 0.9) == [("guessing",), ("low_confidence", "guessing")]
    assert review_reasons(found, 0.0) == [("guessing",), ("guessing",)]
    assert review_reasons(Assessment.concatenate([found[:1], found[1:]]), 0.9) == review_reasons(
        found, 0.9
    )


@pytest.mark.parametrize(
    ("below", "reasons"),
    [
        (0.0, [(), (), ("low_confidence",)]),
        (0.5, [(), (), ("low_confidence",)]),
        (0.95, [(), ("doubtful",), ("low_confidence", "doubtful")]),
        (np.inf, [("doubtful",), ("doubtful",), ("low_confidence", "doubtful")]),
    ],
)
def test_the_stricter_of_the_users_level_and_the_verdicts_counts(below, reasons):
    found = replace(assessment_of([0.99, 0.92, 0.8]), doubtful_below=below)
    assert review_reasons(found, 0.9) == reasons


def test_a_label_as_sure_as_was_asked_needs_no_review():
    assert review_reasons(assessment_of([0.9, 0.8999]), 0.9) == [(), ("low_confidence",)]


def test_some_of_a_judgement_joined_again_are_all_of_it():
    whole = assessment_of([0.9, 0.6, 0.7])
    again = Assessment.concatenate([whole[:1], whole[1:]])
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)
    np.testing.assert_array_equal(
        whole[np.array([False, True, False])].confidence, np.array([0.6], np.float32)
    )
    assert len(whole[:0].confidence) == 0


def test_the_unlike_come_after_all_others_each_by_its_confidence():
    confidence = np.array([0.6, 0.99, 0.7, 0.9], np.float32)
    order = ranking_scores(confidence, np.array([0.5, 1.5, 3, np.nan], np.float32))
    assert np.argsort(-order).tolist() == [3, 0, 1, 2]
    assert order[1] < 0 < order[0]


def test_a_share_is_a_probability():
    check_auto_above(1.0)
    with pytest.raises(MedlabelError, match="auto-above 95: give a probability between 0 and 1"):
        check_auto_above(95)
