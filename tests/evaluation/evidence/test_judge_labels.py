import inspect

import numpy as np
import pytest
from support_verdicts import DOUBTFUL, GUESSING, READ

from medlabel.evaluation.evidence import judge_labels as module
from medlabel.evaluation.evidence.assess import IMAGES
from medlabel.evaluation.evidence.judge_labels import (
    for_bundle,
    judge_labels,
    with_faults,
    with_warnings,
)
from medlabel.student.verdict import Evidence, Verdict
from medlabel.teacher.names.caption_faults import CaptionFault

CAPTIONS = {"a": ("a",), "b": ("b",)}


@pytest.fixture
def asked(monkeypatch):
    """How the labels were assessed: the function, and what it was given."""
    calls = []

    def record(name):
        return lambda *given: calls.append((name, *given)) or READ

    monkeypatch.setattr(module, "assess", record("assess"))
    monkeypatch.setattr(module, "assess_other", record("assess_other"))
    monkeypatch.setattr(module, "witnesses_for", lambda name, home: (name, home))
    return calls


def judge(teachers, home, n=6):
    images = np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    ids = [f"{number}" for number in range(n)]
    return judge_labels(teachers, images, ids, CAPTIONS, np.arange(n) % 2, home)


def test_a_phantom_teacher_is_assessed_with_others_of_its_kind(asked, tmp_path):
    assert judge(["phantom-1"], tmp_path) is READ
    [(function, images, ids, captions, witnesses)] = asked
    assert function == "assess"
    assert witnesses == ("phantom-1", tmp_path)
    assert images[:, 0, 0].tolist() == [int(each) for each in ids] == [0, 1, 2, 3, 4, 5]
    assert captions is CAPTIONS


@pytest.mark.parametrize("teachers", [[], ["ViT-B-32"], ["phantom", "phantom-1"]])
def test_labels_of_any_other_origin_are_compared_with_the_phantoms(asked, tmp_path, teachers):
    judge(teachers, tmp_path)
    [(function, _, _, _, labels, witnesses)] = asked
    assert function == "assess_other"
    assert labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert witnesses == ("", tmp_path)


def test_of_many_images_the_same_sample_is_looked_at_with_its_own_labels(asked, tmp_path):
    judge([], tmp_path, n=IMAGES + 50)
    judge([], tmp_path, n=IMAGES + 50)
    (_, images, ids, _, labels, _), again = asked
    assert len(images) == len(set(ids)) == IMAGES
    assert [int(each) % 2 for each in ids] == labels.tolist()
    assert ids == again[2]


def test_no_true_label_is_asked_for():
    wanted = inspect.signature(judge_labels).parameters
    assert list(wanted) == ["teachers", "images", "ids", "captions", "labels", "home"]


def test_a_warning_of_the_students_makes_what_was_read_doubtful():
    found = with_warnings(READ, ["The students disagree."])
    assert found.level == "doubtful"
    assert found.summary == "The labels are doubtful. The students disagree."
    assert found.evidence[0].name == "students"
    assert found.evidence[1:] == READ.evidence
    assert found.doubtful_below > 1  # no label is accepted without review
    assert found.advice


@pytest.mark.parametrize("verdict", [DOUBTFUL, GUESSING])
def test_a_warning_changes_no_other_level(verdict):
    found = with_warnings(verdict, ["The students disagree."])
    assert (found.level, found.summary) == (verdict.level, verdict.summary)
    assert found.auto_above == verdict.auto_above
    assert found.evidence[0].sentence == "The students disagree."


@pytest.mark.parametrize("verdict", [READ, DOUBTFUL, GUESSING])
def test_without_a_warning_nothing_changes(verdict):
    assert with_warnings(verdict, []) is verdict


def test_images_that_are_not_public_do_not_travel():
    assert GUESSING.examples
    private = for_bundle(GUESSING, public=False)
    assert private.examples == ()
    assert private.evidence == GUESSING.evidence
    assert for_bundle(GUESSING, public=True) == GUESSING


def test_what_a_teacher_cannot_read_of_captions_is_evidence():
    read = Verdict("read", "fine", (Evidence("far", "read", "x"),))
    cut, twins = (
        CaptionFault("cut", "a caption is cut", "a"),
        CaptionFault("alike", "twins", value=1),
    )
    assert with_faults(read, []) is read
    found = with_faults(read, [cut])
    assert (found.level, found.evidence[0].sentence) == ("read", "A caption is cut.")
    doubtful = with_faults(read, [cut, twins])
    assert (doubtful.level, doubtful.summary) == ("doubtful", "The labels are doubtful. Twins.")
    assert "--captions" in doubtful.advice[1]
    guessing = Verdict("guessing", "no", (Evidence("unknown_words", "guessing", "y"),))
    assert with_faults(guessing, [twins]).level == "guessing"
    assert with_faults(guessing, [twins]).evidence[0].name == "unknown_words"
