"""Which words of a class a phantom teacher has never learned."""

import pytest

from medlabel.phantoms.own import add_looks
from medlabel.teacher.captions import CLASS_NAMES, SET_CAPTIONS, captions_for, paper_captions
from medlabel.teacher.names.learned_words import (
    learned_words,
    unknown_classes,
    unlearned_words,
    words_learned,
)


def by_name(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: captions_for(name) for name in names}


def test_every_class_of_the_tables_is_learned_whole():
    assert set(words_learned(SET_CAPTIONS).values()) == {"all"}
    for flag, names in CLASS_NAMES.items():
        captions = {
            name: captions_for(name, flag=flag, label=label) for label, name in enumerate(names)
        }
        assert set(words_learned(captions).values()) == {"all"}
        assert set(unlearned_words(captions).values()) == {()}


@pytest.mark.parametrize(
    "name",
    [
        "hand",
        "KNEE",
        "Lunge",
        "poumon",
        "胸部",
        "грудь",
        "pneumonai",
        "chset",
        "xqzt",
        "1",
        "?",
        "🙂",
    ],
)
def test_a_name_of_words_that_were_never_learned_is_unknown(name):
    assert unknown_classes(by_name(name, "chest")) == (name,)


@pytest.mark.parametrize("name", ["Chest", "X-RAY", "blood-cell", "carcinoma", " breast "])
def test_a_name_in_learned_words_is_known_however_it_is_written(name):
    assert unknown_classes(by_name(name, "retina")) == ()


def test_the_unlearned_words_are_given_once_and_in_order():
    captions = {"a": ["a brain MRI", "an MRI of the brain", "a scan of the skull"], "b": ["skin"]}
    assert unlearned_words(captions) == {"a": ("brain", "mri", "skull"), "b": ()}


def test_the_template_is_no_description_of_a_class():
    captions = {"knee": paper_captions("knee"), "blood": ["a microscope image of a blood cell"]}
    assert "organ" in learned_words()  # in the template, too
    assert words_learned(captions) == {"knee": "none", "blood": "all"}


def test_words_that_all_classes_share_prove_nothing():
    captions = {"hand": ["an X-ray of a hand"], "foot": ["an X-ray of a foot"]}
    assert unknown_classes(captions) == ("hand", "foot")
    assert words_learned({"tumor": ["tumor"], "no tumor": ["no tumor"]}) == {
        "tumor": "all", "no tumor": "all",
    }  # fmt: skip
    assert unknown_classes({"rash": ["a rash"], "no rash": ["no rash"]}) == ("rash", "no rash")


def test_a_subject_that_was_never_learned_outweighs_what_only_some_captions_say():
    both = ["a CT scan of the head", "an MRI of the head"]
    captions = {"head": both, "lung": ["a chest X-ray"], "head CT": ["a CT scan of the head"]}
    assert words_learned(captions) == {"head": "none", "lung": "all", "head CT": "some"}


def test_a_teacher_without_a_look_has_not_learned_its_words():
    others = [flag for flag in SET_CAPTIONS if flag != "bloodmnist"]
    captions = by_name("basophil", "breast")
    assert unknown_classes(captions) == ()
    assert unknown_classes(captions, others) == ("basophil",)
    assert unlearned_words(captions, others)["basophil"] == ("basophil", "smear")
    assert learned_words([]) == frozenset()


_KNEES = """
import numpy as np
from medlabel.phantoms import Kind, Look

def draw(canvas):
    return np.zeros((canvas.n, canvas.size, canvas.size), np.float32)

KINDS = (Kind("patella", draw, "a small bone", "none"),)
LOOKS = [Look("kneetest", False, "a knee", KINDS, captions=("a film of a knee",))]
"""


def test_looks_that_the_user_adds_count(looks_restored):
    assert not {"patella", "knee"} & learned_words()
    add_looks([_KNEES])
    assert {"patella", "knee"} <= learned_words()
    assert not {"patella", "knee"} & learned_words(list(SET_CAPTIONS))
