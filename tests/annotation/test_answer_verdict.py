import numpy as np
import pytest

from medlabel.annotation.answer_verdict import ENOUGH, verdict_of_answers

CLASSES = ("ill", "well")


def judged(right, wrong, classes=CLASSES, of_no_class=0, sure=0.9, unsure=0.9):
    """The verdict for answers spread evenly over the classes, of which `right` agree."""
    count = right + wrong
    answers = np.arange(count) % len(classes)
    agrees = np.random.default_rng(0).permutation(count) < right
    labels = np.where(agrees, answers, (answers + 1) % len(classes))
    best = np.where(agrees, sure, unsure).astype(np.float32)
    others = ((1 - best) / (len(classes) - 1))[:, None]
    found = np.repeat(others, len(classes), axis=1).astype(np.float32)
    found[np.arange(count), labels] = best
    return verdict_of_answers(classes, answers, found, of_no_class)


@pytest.mark.parametrize(
    ("right", "wrong", "level"),
    [
        (141, 9, "read"),
        (112, 38, "doubtful"),  # the collapsed folder of pneumonias after 150 answers
        (72, 78, "guessing"),
        (90, 60, "guessing"),
        (50, 0, "read"),
        (42, 8, "doubtful"),
    ],
)
def test_the_interval_of_the_accuracy_decides(right, wrong, level):
    verdict = judged(right, wrong)
    assert verdict.level == level
    assert verdict.estimate.low < verdict.estimate.accuracy == right / (right + wrong)
    assert f"{right} of {right + wrong}" in verdict.summary
    assert bool(verdict.advice) == (level != "read")


def test_with_few_answers_there_is_no_verdict():
    assert judged(ENOUGH - 1, 0) is None
    assert judged(ENOUGH, 0) is not None


def test_with_more_classes_less_is_useful():
    six = tuple("abcdef")
    assert judged(60, 90, six).level == "doubtful"
    assert judged(30, 120, six).level == "guessing"


def test_images_of_no_class_count_as_wrong():
    assert judged(141, 9).level == "read"
    verdict = judged(141, 9, of_no_class=40)
    assert verdict.level == "doubtful"
    assert verdict.estimate.accuracy == 141 / 190
    assert "none of the classes in 40 of 190" in verdict.evidence[-1].sentence


def test_a_collapsed_labelling_is_not_believed_where_one_class_is_rare():
    answers = np.array([0] * 12 + [1] * 188)
    always = np.tile(np.float32([0.02, 0.98]), (200, 1))
    verdict = verdict_of_answers(CLASSES, answers, always)
    assert verdict.level == "doubtful"
    missed = next(piece for piece in verdict.evidence if piece.class_name == "ill")
    assert missed.sentence == "Of the images that people call ill, only 0 of 12 (0%) got it."


def test_a_class_that_no_answer_names_is_not_known_to_be_found():
    answers, always = np.ones(100, np.int64), np.tile(np.float32([0.02, 0.98]), (100, 1))
    verdict = verdict_of_answers(CLASSES, answers, always)
    assert verdict.level == "doubtful"
    assert any("Only 0 answers name ill" in piece.sentence for piece in verdict.evidence)


def test_labels_are_accepted_above_the_level_at_which_they_are_right():
    apart = judged(112, 38, sure=0.95, unsure=0.6)
    assert apart.auto_above == pytest.approx(0.95)
    assert judged(112, 38).auto_above is None  # the confidence does not tell right from wrong
    assert judged(112, 38, sure=0.6, unsure=0.95).auto_above is None
    assert judged(141, 9).auto_above is None
    assert judged(112, 38, sure=0.95, unsure=0.6, of_no_class=60).auto_above is None
