"""Names that people type, and the tables behind them."""

import pytest

from medlabel.teacher.captions import SET_CAPTIONS, captions_for, class_labels, paper_captions
from medlabel.teacher.names import synonyms
from medlabel.teacher.names.known import canonical, flag_named, known_meaning
from medlabel.teacher.names.synonyms import (
    ABSENCE,
    BODY_PARTS,
    FINDINGS,
    IN_CONTEXT,
    MODALITIES,
    NO_FINDING_LABEL,
    OTHER_NAMES,
    key_of,
)
from medlabel.teacher.task_captions import captions_by_names

TYPED = (
    *("lung", "lungs", "LUNG", "head", "brain", "MRI", "MR", "CT", "X-ray", "xray", "X-RAYS"),
    *("CXR", "ultrasound", "sono", "US", "tumor", "tumour", "cancer", "cell", "Cells", "eye"),
    *("retina", "fundus", "oct", "OCT scans", "skin", "mole", "moles", "kidney", "Kidneys"),
    *("liver", "spleen", "heart", "knee", "hands", "teeth", "abdomen", "histology", "blood cells"),
    *("head CT", "CT of the head", "brain MRI", "chest_x-ray", " Breast  ultrasound ", "fractures"),
)


@pytest.mark.parametrize("name", TYPED)
def test_names_that_people_type_have_captions(name):
    (captions,) = captions_by_names([name]).values()
    assert captions != paper_captions(name)
    assert len(captions) >= 2


@pytest.mark.parametrize(
    ("names", "set_of"),
    [
        (("lung", "Lungs", "CXR", "chest X-ray", "thorax"), "chestmnist"),
        (("eye", "fundus", "Retina", "fundus photographs"), "retinamnist"),
        (("skin", "mole", "Moles", "dermoscopy"), "dermamnist"),
        (("blood", "blood cells", "white blood cell"), "bloodmnist"),
    ],
)
def test_other_names_of_a_set_have_its_captions(names, set_of):
    for name in names:
        assert captions_by_names([name])[name] == SET_CAPTIONS[set_of]


def test_organs_have_the_captions_of_all_three_planes():
    (captions,) = captions_by_names(["Livers"]).values()
    sets = ("organamnist", "organcmnist", "organsmnist")
    assert captions == tuple(
        text for flag in sets for text in captions_for("liver", flag=flag, label=6)
    )


@pytest.mark.parametrize("name", ["zebra", "Lunge", "胸部", "pneumonai", "?", "1", "low-dose CT"])
def test_any_other_name_fills_the_paper_s_template(name):
    assert captions_by_names([name])[name] == paper_captions(name)


def test_the_tables_name_sets_and_labels_that_exist():
    places = [place for found in (*OTHER_NAMES.values(), *ABSENCE.values()) for place in found]
    places += [place for found in IN_CONTEXT.values() for group in found for place in group]
    for flag, label in set(places) - {NO_FINDING_LABEL}:
        assert flag in SET_CAPTIONS
        assert label is None or label in class_labels(flag)


def test_keys_are_in_their_own_spelling():
    tables = (OTHER_NAMES, IN_CONTEXT, FINDINGS, MODALITIES, BODY_PARTS)
    keys = [key for table in tables for key in table]
    keys += [*synonyms.HEALTHY, *synonyms.ORGANS, *synonyms.NOT_FOR_ONE_SET]
    assert [key for key in keys if key_of(key) != key] == []


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("Chest_X-Ray!", "chest x ray"), ("  BRAIN\tMRI ", "brain mri"), ("Tumour", "tumor"),
        ("H&E", "h&e"), ("Naevus.", "nevus"), ("XRAY", "x ray"), ("", ""),
    ],
)  # fmt: skip
def test_spelling_does_not_matter(typed, key):
    assert key_of(typed) == key


@pytest.mark.parametrize(
    ("typed", "known"),
    [("lungs", "lung"), ("biopsies", "biopsy"), ("teeth", "tooth"), ("ct images", "ct"),
     ("lymphocytes", "lymphocytes"), ("pancreas", "pancreas"), ("zebras", "zebras")],
)  # fmt: skip
def test_a_plural_and_a_word_for_a_picture_are_left_out_where_that_is_known(typed, known):
    assert canonical(typed) == known


def test_a_part_of_the_body_in_a_modality():
    for typed in ("knee mri", "mri knee", "mri of the knee", "knees mr"):
        meaning = known_meaning(typed)
        assert meaning is not None
        assert meaning.captions[0] == "an MRI scan of the knee"
    assert known_meaning("zebra mri") is None


def test_sets_are_named_by_flag_or_short_name():
    assert flag_named(" BreastMNIST") == flag_named("breast") == "breastmnist"
    assert flag_named("lung") is None
