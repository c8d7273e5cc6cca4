import pytest

from medlabel.evaluation.evidence.estimate import Estimated
from medlabel.evaluation.evidence.judge import DOUBT_ABOVE, GUESS_ABOVE, level_of, verdict_from
from medlabel.student.verdict import AccuracyEstimate, Evidence, Example


def estimated(useless):
    return Estimated(0.9, 0.8, 1.0, useless)


@pytest.mark.parametrize(
    ("useless", "level"),
    [
        (0.0, "read"),
        (DOUBT_ABOVE, "read"),
        (DOUBT_ABOVE + 1e-6, "doubtful"),
        (GUESS_ABOVE - 1e-6, "doubtful"),
        (GUESS_ABOVE, "guessing"),
        (1.0, "guessing"),
    ],
)
def test_the_level_follows_the_weight_of_useless_likes(useless, level):
    assert level_of(estimated(useless)) == level


@pytest.mark.parametrize(("useless", "level"), [(0.0, "doubtful"), (1.0, "guessing")])
def test_unknown_names_are_at_best_doubtful(useless, level):
    assert level_of(estimated(useless), all_unknown=True) == level


READ = Evidence("far", "read", "1% are far.", 0.01)
DOUBT = Evidence("wordings", "doubtful", "The labels change.", 0.4)
GUESS = Evidence("unknown_words", "guessing", "It was never learned.", None, "hand")


def test_what_speaks_against_the_labels_comes_first():
    verdict = verdict_from("guessing", [READ, DOUBT, GUESS], estimated(0.9))
    assert verdict.evidence == (GUESS, DOUBT, READ)
    assert verdict.summary == "The teacher is guessing. hand: It was never learned."


def test_pieces_of_one_level_keep_their_order():
    more = Evidence("agreement", "read", "They agree.")
    assert verdict_from("read", [READ, more], estimated(0)).evidence == (READ, more)


def test_a_class_is_not_named_twice():
    piece = Evidence("unknown_words", "guessing", "hand: never learned.", None, "hand")
    assert verdict_from("doubtful", [piece], None).summary.endswith("images. hand: never learned.")


def test_labels_that_are_read_need_no_advice():
    verdict = verdict_from("read", [DOUBT, READ], estimated(0))
    assert verdict.advice == ()
    assert verdict.auto_above is None
    assert "independent evidence agrees" in verdict.summary


def test_advice_begins_with_what_is_wrong():
    words = verdict_from("guessing", [GUESS], estimated(1)).advice
    images = verdict_from("guessing", [Evidence("far", "guessing", "All are far.")], None).advice
    assert "--captions" in words[0]
    assert "--clip" in images[0]
    assert any("retrain" in line for line in words)


def test_doubtful_labels_are_to_be_checked_first():
    assert "100 labels" in verdict_from("doubtful", [DOUBT], estimated(0.1)).advice[0]


@pytest.mark.parametrize(
    ("level", "useless", "above"),
    [
        ("read", 0.0, None),
        ("doubtful", 0.01, 0.99),
        ("doubtful", 0.4, None),
        ("guessing", 0.9, None),
    ],
)
def test_a_little_doubt_leaves_very_confident_labels(level, useless, above):
    verdict = verdict_from(level, [DOUBT], estimated(useless))
    assert verdict.auto_above == above


def test_doubt_without_an_estimate_leaves_none():
    verdict = verdict_from("doubtful", [DOUBT], None)
    assert verdict.auto_above is None
    assert verdict.doubtful_below > 1


def test_an_estimate_or_the_reason_why_there_is_none():
    verdict = verdict_from("read", [], estimated(0), no_estimate_because="unused")
    assert verdict.estimate == AccuracyEstimate(0.9, 0.8, 1.0)
    assert verdict.no_estimate_because == ""
    without = verdict_from("read", [], None, no_estimate_because="another model")
    assert without.estimate is None
    assert without.no_estimate_because == "another model"


def test_examples_are_kept():
    example = Example("a.png", "hand", "All agree.")
    assert verdict_from("read", [], None, [example]).examples == (example,)


def test_teachers_that_contradict_each_other_on_unknown_names_guess():
    estimated = Estimated(0.84, 0.22, 1.0, useless=0.3)
    assert level_of(estimated, all_unknown=True, agreement=0.0) == "guessing"
    assert level_of(estimated, all_unknown=True, agreement=0.9) == "doubtful"
    assert level_of(estimated, all_unknown=False, agreement=0.0) == "doubtful"


def test_an_estimate_below_seven_in_ten_is_never_read():
    # eight classes: far above chance, so that nothing is useless, and still wrong half of the time
    assert level_of(Estimated(0.69, 0.6, 0.8, useless=0.0)) == "doubtful"
    assert level_of(Estimated(0.70, 0.6, 0.8, useless=0.0)) == "read"


def test_an_interval_that_holds_nearly_everything_is_no_estimate():
    verdict = verdict_from("guessing", [], Estimated(0.84, 0.22, 1.0, useless=0.3))
    assert verdict.estimate is None
    assert "from 22% to 100%" in verdict.no_estimate_because
    assert verdict_from("read", [], Estimated(0.9, 0.5, 1.0, useless=0.0)).estimate is not None
