from dataclasses import replace

import pytest
from support_verdicts import DOUBTFUL, GUESSING, READ

from medlabel.experiments.verdicts import LabellingVerdict
from medlabel.reports.verdict_words import (
    accuracy_sentence,
    counts_sentence,
    review_sentence,
    short_accuracy,
    subject,
)
from medlabel.student.verdict import AccuracyEstimate, Evidence, Verdict


@pytest.mark.parametrize(
    ("estimate", "short"),
    [
        ((0.968, 0.931, 0.991), "97 of 100 (93 to 100)"),
        ((0.9, 0.88, 0.92), "90 of 100 (88 to 92)"),  # 100 * 0.29 = 28.999…: no spurious rounding
        ((0.29, 0.29, 0.58), "29 of 100 (29 to 58)"),
        ((0.999, 0.99, 1.0), "more than 99 of 100 (99 to 100)"),
        ((1.0, 1.0, 1.0), "100 of 100 (100 to 100)"),
    ],
)
def test_an_interval_is_rounded_outwards_and_nothing_to_certainty(estimate, short):
    assert short_accuracy(Verdict("read", "", estimate=AccuracyEstimate(*estimate))) == short


def test_an_estimate_that_is_missing_is_explained():
    assert short_accuracy(GUESSING) == "unknown"
    assert accuracy_sentence(GUESSING) == (
        "The share of right labels cannot be estimated: the teachers contradict each other."
    )
    bare = Verdict("guessing", "")
    assert accuracy_sentence(bare) == "The share of right labels cannot be estimated."


def test_who_checks_the_labels_depends_on_the_verdict():
    for none in (GUESSING, replace(DOUBTFUL, auto_above=None)):
        assert "none is accepted without a person" in review_sentence(none)
    assert "0.973 or more" in review_sentence(DOUBTFUL)
    assert "that you ask for" in review_sentence(READ)


def test_a_class_is_named_once():
    assert (
        subject(Evidence("words", "guessing", "It never learned this word.", 1, "hand")) == "hand"
    )
    assert subject(Evidence("words", "guessing", "Hand: never learned.", 1, "hand")) == ""
    assert subject(Evidence("seeds", "read", "All agree.")) == ""


def test_several_students_of_a_task_are_counted_as_students():
    rows = [LabellingVerdict("a-vs-b", READ, student=name) for name in ("small", "large")]
    assert counts_sentence(rows) == "Of 2 students: 2 read, 0 doubtful, 0 guessing."
    assert counts_sentence(rows[:1]) == "Of 1 task: 1 read, 0 doubtful, 0 guessing."
