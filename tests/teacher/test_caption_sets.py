"""Captions by the name of their set, and a user's own."""

import pytest

from medlabel.data.tasks import ClassSpec
from medlabel.errors import MedlabelError
from medlabel.teacher.caption_sets import DESCRIPTIONS, TEMPLATES, captions_in, check_caption_sets
from medlabel.teacher.captions import CLASS_NAMES, SET_CAPTIONS, captions_for, paper_captions
from medlabel.teacher.task_captions import class_captions

FLAGS = sorted(SET_CAPTIONS)


def test_table_and_paper_are_what_they_were():
    assert captions_in("table", "eosinophil") == captions_for("eosinophil")
    assert captions_in("paper", "breast") == paper_captions("breast")


def test_templates_are_many_all_different_and_take_a_name():
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 80
    assert all(template.count("{name}") == 1 for template in TEMPLATES)


@pytest.mark.parametrize("caption_set", ["templates", "descriptions"])
def test_no_two_sets_and_no_two_labels_of_a_set_are_told_alike(caption_set):
    assert len({captions_in(caption_set, flag) for flag in FLAGS}) == len(FLAGS)
    for flag in FLAGS:
        labels = range(len(CLASS_NAMES[flag]))
        captions = {captions_in(caption_set, "x", flag=flag, label=label) for label in labels}
        assert len(captions) == len(labels)


def test_templates_speak_of_a_set_of_a_label_and_of_what_nobody_knows():
    assert "a blurry scan of the breast" in captions_in("templates", "breast")
    assert "a blurry scan of eosinophil" in captions_in("templates", "Eosinophil")
    found = captions_in("templates", "mine", flag="octmnist", label=3)
    assert "a blurry scan of a normal retina" in found
    assert "a blurry scan of knee" in captions_in("templates", "knee")


def test_descriptions_fall_back_to_the_table_where_there_are_none():
    assert captions_in("descriptions", "breast") == DESCRIPTIONS["breastmnist"]
    assert captions_in("descriptions", "podocyte") == captions_for("podocyte")
    assert captions_in("descriptions", "knee") == paper_captions("knee")


def test_a_file_of_one_s_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("knee: [a bent joint]\ntemplates: ['film of a {name}']\n")
    assert captions_in(str(path), "knee") == ("a bent joint", "film of a knee")
    assert captions_in(str(path), "hip") == ("film of a hip",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("knee: [a joint]", "no captions for class 'hip'"),
        ("templates: [a joint]", "'a joint' has no {name}"),
        ("hip: a joint", "hip is not a list of captions"),
        ("hip: [1, 2]", "hip is not a list of captions"),
        ("hip: []", "hip is not a list of captions"),
        ("- a joint", "lists of captions by class name"),
        ("hip: [", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(tmp_path, text, reason):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(MedlabelError, match=reason) as error:
        captions_in(str(path), "hip")
    assert "mine.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["yes", "no", "01", "1.10", "1e3", "0x1F", "null", "=", "12:30"])
def test_captions_are_found_by_the_name_as_it_was_typed(tmp_path, name):
    path = tmp_path / "mine.yaml"
    path.write_text(f"{name}: [a bent joint]\ntemplates: ['film of {{name}}']\n")
    assert captions_in(str(path), name) == ("a bent joint", f"film of {name}")


def test_an_unknown_set_and_a_missing_file(tmp_path):
    with pytest.raises(MedlabelError, match="'poem': choose from table, paper, templates, desc"):
        check_caption_sets("table,poem")
    with pytest.raises(MedlabelError, match="cannot read captions"):
        captions_in(str(tmp_path / "gone.yaml"), "hip")


def test_sets_are_combined_without_doubles():
    breast = ClassSpec(name="breast", source="breastmnist")
    together = class_captions(breast, "table,paper,table")
    assert together == (*captions_for("breast"), *paper_captions("breast"))


def test_a_class_s_own_captions_stand_for_the_table_s_and_the_paper_s():
    own = ClassSpec(name="breast", source="breastmnist", captions=("mine",))
    assert class_captions(own, "paper") == class_captions(own) == ("mine",)
    assert class_captions(own, "table,descriptions")[0] == "mine"
    assert class_captions(own, "descriptions") == DESCRIPTIONS["breastmnist"]
