"""The captions table: a name picks its captions."""

import pytest
from medmnist import INFO

from medlabel.teacher.captions import (
    CLASS_NAMES,
    SET_CAPTIONS,
    SHORT_NAMES,
    captions_for,
    paper_captions,
)

FLAGS = sorted(SET_CAPTIONS)


def test_every_2d_set_has_captions():
    assert set(FLAGS) == {flag for flag in INFO if not flag.endswith("3d")}


@pytest.mark.parametrize("flag", FLAGS)
def test_every_label_of_a_set_has_a_name(flag):
    assert len(CLASS_NAMES[flag]) == len(INFO[flag]["label"])


@pytest.mark.parametrize("flag", FLAGS)
def test_every_label_has_captions_of_its_own(flag):
    labels = range(len(CLASS_NAMES[flag]))
    assert len({captions_for(flag, flag=flag, label=label) for label in labels}) == len(labels)


@pytest.mark.parametrize("name", sorted(SHORT_NAMES))
def test_a_set_answers_to_its_short_name(name):
    assert captions_for(name) == captions_for(SHORT_NAMES[name]) == SET_CAPTIONS[SHORT_NAMES[name]]


def test_captions_of_two_sets_are_never_the_same():
    everything = [caption for captions in SET_CAPTIONS.values() for caption in captions]
    assert len(set(everything)) == len(everything)


def test_pneumonia_alone_is_the_set_and_with_a_label_the_finding():
    assert captions_for("pneumonia") == SET_CAPTIONS["pneumoniamnist"]
    assert "child with pneumonia" in captions_for("pneumonia", flag="pneumoniamnist", label=1)[0]
    assert "adult" in captions_for("pneumonia", flag="chestmnist", label=6)[1]


def test_a_class_name_that_one_set_has_is_known():
    assert captions_for("Eosinophil") == captions_for("x", flag="bloodmnist", label=1)


def test_a_class_name_that_many_sets_have_is_not():
    assert captions_for("liver") == paper_captions("liver")


def test_an_unknown_name_gets_the_paper_s_template():
    expected = ("This is a photo of the knee, and it's a type of organ",)
    assert captions_for("knee") == paper_captions("knee") == expected


def test_a_label_that_no_table_has_is_ignored():
    assert captions_for("breast", flag="breastmnist", label=9) == SET_CAPTIONS["breastmnist"]
    assert captions_for("mine", flag="my-set", label=0) == paper_captions("mine")
