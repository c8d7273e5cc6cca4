"""Verdicts of the shipped phantom teachers on drawn images: clear cases only, no probabilities."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.unseen_looks import unseen
from medlabel.evaluation.evidence.assess import assess, assess_other
from medlabel.phantoms import LOOKS, draw_look
from medlabel.teacher.task_captions import captions_by_names

_EACH = 30
TRUTH = np.repeat([0, 1], _EACH)
IDS = [f"image {number}" for number in range(2 * _EACH)]
KNOWN = captions_by_names(["chest", "breast"])
NONSENSE = captions_by_names(["blorp", "fnord"])


def drawn(*flags):
    return np.concatenate([draw_look(LOOKS[flag], _EACH, 4321, even=True)[0] for flag in flags])


@pytest.fixture(scope="module")
def films():
    return drawn("chestmnist", "breastmnist")


@pytest.fixture(scope="module")
def read(films, witnesses):
    return assess(films, IDS, KNOWN, witnesses)


@pytest.fixture(scope="module")
def nonsense(films, witnesses):
    return assess(films, IDS, NONSENSE, witnesses)


def pieces(verdict):
    return {(piece.name, piece.class_name): piece for piece in verdict.evidence}


def test_known_images_under_their_names_are_read(read):
    assert read.level == "read"
    assert read.estimate.accuracy > 0.9
    assert {piece.level for piece in read.evidence} == {"read"}
    assert {name for name, _ in pieces(read)} == {
        "agreement", "far", "assigned", "wordings", "labels",
    }  # fmt: skip


def test_one_teacher_alone_has_no_agreement(films, witnesses):
    verdict = assess(films, IDS, KNOWN, witnesses[:1])
    assert verdict.level == "read"
    assert ("agreement", None) not in pieces(verdict)


def test_images_and_names_that_no_teacher_learned_are_not_read(witnesses):
    images = np.concatenate([unseen(flag, _EACH, 1)[0] for flag in ("hand", "head_ct")])
    verdict = assess(images, IDS, captions_by_names(["hand", "head CT"]), witnesses)
    assert verdict.level != "read"
    assert pieces(verdict)["unknown_words", "hand"].level == "guessing"
    assert "\u201chand\u201d" in pieces(verdict)["unknown_words", "hand"].sentence


def test_known_images_under_the_names_of_other_sets_are_guessed(films, witnesses):
    verdict = assess(films, IDS, captions_by_names(["blood", "retina"]), witnesses)
    assert verdict.level == "guessing"
    assert verdict.evidence[0].level == "guessing"
    assert pieces(verdict)["assigned", None].level == "guessing"


def test_nonsense_names_are_guessed(nonsense):
    assert nonsense.level == "guessing"
    found = pieces(nonsense)
    assert found["unknown_words", "blorp"].level == found["unknown_words", "fnord"].level
    assert "--captions" in nonsense.advice[0]


def test_black_images_are_not_read(films, witnesses):
    verdict = assess(np.zeros_like(films), IDS, KNOWN, witnesses)
    assert verdict.level == "guessing"
    assert pieces(verdict)["repetition", None].level == "guessing"
    assert pieces(verdict)["labels", None].level == "doubtful"
    other = assess_other(np.zeros_like(films), IDS, KNOWN, TRUTH, witnesses)
    assert other.level == "guessing"


def test_a_single_image_has_a_verdict(films, witnesses):
    verdict = assess(films[:1], IDS[:1], KNOWN, witnesses)
    assert verdict.estimate is not None


def test_examples_are_pictures_of_the_task(films, nonsense, read):
    for verdict in (nonsense, read):
        assert 1 <= len(verdict.examples) <= 3
        for example in verdict.examples:
            picture = Image.open(io.BytesIO(base64.b64decode(example.png, validate=True)))
            assert picture.format == "PNG"
            np.testing.assert_array_equal(picture, films[IDS.index(example.image_id)])
    assert {example.label for example in nonsense.examples} <= {"blorp", "fnord"}
    assert any("Another teacher calls" in example.sentence for example in nonsense.examples)


# --- Any other model -----------------------------------------------------------------------------

_ONE_CLASS = np.zeros_like(TRUTH)


@pytest.mark.parametrize(
    ("labels", "level"), [(TRUTH, "read"), (1 - TRUTH, "guessing"), (_ONE_CLASS, "guessing")]
)
def test_other_labels_are_compared_with_those_of_the_phantoms(films, witnesses, labels, level):
    verdict = assess_other(films, IDS, KNOWN, labels, witnesses)
    assert verdict.level == level
    assert pieces(verdict)["second_opinion", None].level == level
    assert verdict.estimate is None
    assert "another model" in verdict.no_estimate_because


def test_nothing_confirms_labels_of_unknown_classes(films, witnesses):
    verdict = assess_other(films, IDS, NONSENSE, TRUTH, witnesses)
    assert verdict.level == "doubtful"
    assert verdict.auto_above is None
    assert verdict.estimate is None
    assert pieces(verdict)["second_opinion", None].sentence.startswith("No independent teacher")


def test_the_evidence_is_of_the_labels_that_are_judged(films, witnesses):
    verdict = assess_other(films, IDS, NONSENSE, _ONE_CLASS, witnesses)
    assert verdict.level == "doubtful"
    shares = pieces(verdict)["labels", None]
    assert shares.level == "doubtful"
    assert shares.value == 1
    assert "\u201cblorp\u201d" in shares.sentence
    assert {example.label for example in verdict.examples} == {"blorp"}


def test_the_same_single_label_from_both_models_is_agreement(witnesses):
    films = draw_look(LOOKS["chestmnist"], 2 * _EACH, 4321, even=True)[0]
    same = assess_other(films, IDS, KNOWN, np.zeros_like(TRUTH), witnesses)
    assert pieces(same)["second_opinion", None].value == pytest.approx(1)
    assert same.level != "guessing"


def test_teachers_that_know_no_name_confirm_no_label(films, witnesses):
    abroad = captions_by_names(["blorp", "fnord"])
    seen = assess(films, IDS, abroad, witnesses)
    assert seen.level != "read"
    assert assess_other(films, IDS, abroad, TRUTH, witnesses).level != "read"
