"""What the names of a task's classes mean together."""

import pytest

from medlabel.errors import InvalidArgumentError
from medlabel.phantoms.own import add_looks
from medlabel.teacher.captions import (
    _UNIQUE_NAMES,
    NO_FINDING,
    SET_CAPTIONS,
    SHORT_NAMES,
    captions_for,
    class_labels,
)
from medlabel.teacher.names.learned_words import unknown_classes
from medlabel.teacher.names.meanings import meanings_of, name_and_meaning
from medlabel.teacher.task_captions import captions_by_names

FINDING = (("chestmnist", 6), ("pneumoniamnist", 1))
HEALTHY_CHESTS = (("chestmnist", 14), ("pneumoniamnist", 0))
MOLES = tuple(("dermamnist", label) for label in (2, 3, 5, 6))


def meant(line: str) -> list:
    """The sets and labels that the names of a line mean, in order."""
    found = meanings_of(dict(map(name_and_meaning, line.split(","))))
    return [meaning.places for meaning in found.values()]


def read(line: str) -> dict[str, tuple[str, ...]]:
    return captions_by_names(line.split(","))


@pytest.mark.parametrize("flag", [*SHORT_NAMES, *SET_CAPTIONS, *_UNIQUE_NAMES])
def test_names_of_the_tables_keep_their_captions(flag):
    if flag == "pneumonia":
        return
    assert captions_by_names([flag]) == {flag: captions_for(flag)}


@pytest.mark.parametrize(
    "absence",
    ["normal", "No finding", "HEALTHY", "no pneumonia", "not pneumonia", "without pneumonia",
     "pneumonia-free", "healthy lungs", "normal chest x-ray", "no findings", "negative"],
)  # fmt: skip
def test_pneumonia_beside_its_absence_is_the_finding_in_chest_films(absence):
    finding, healthy = meant(f"Pneumonia,{absence}")
    assert finding == FINDING
    assert healthy == HEALTHY_CHESTS
    captions = read(f"pneumonia,{absence}")
    assert not set(captions["pneumonia"]) & set(SET_CAPTIONS["pneumoniamnist"])
    assert set(NO_FINDING["chestmnist"]) < set(captions[absence])
    assert unknown_classes(captions) == ()


@pytest.mark.parametrize("other", ["chest", "breast", "knee", "zebra", "pneumoniamnist"])
def test_pneumonia_beside_anything_that_does_not_decide_is_refused_with_both_spellings(other):
    with pytest.raises(InvalidArgumentError) as error:
        meant(f"{other},pneumonia")
    for spelling in ("=pneumoniamnist ", "=pneumoniamnist#1", "=chestmnist#6"):
        assert f"pneumonia{spelling}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "places"),
    [
        ("pneumonia=pneumoniamnist,chest", [(("pneumoniamnist", None),), (("chestmnist", None),)]),
        ("pneumonia=pneumoniamnist#1,normal", [FINDING[1:], HEALTHY_CHESTS[1:]]),
        ("pneumonia=chestmnist#6,normal", [FINDING[:1], HEALTHY_CHESTS[:1]]),
        ("sick=pneumonia,well=normal", [FINDING, HEALTHY_CHESTS]),
        ("pneumonia,effusion", [FINDING[:1], (("chestmnist", 2),)]),
        ("normal,drusen", [(("octmnist", 3),), (("octmnist", 2),)]),
        ("effusion,no finding", [(("chestmnist", 2),), HEALTHY_CHESTS[:1]]),
        ("melanoma,normal", [(("dermamnist", 4),), MOLES]),
        ("melanoma,moles", [(("dermamnist", 4),), (("dermamnist", 5),)]),
        ("malignant,benign", [(("breastmnist", 0),), (("breastmnist", 1),)]),
        ("breast cancer,no cancer", [(("breastmnist", 0),), (("breastmnist", 1),)]),
        ("diabetic retinopathy,no retinopathy",
         [tuple(("retinamnist", k) for k in range(1, 5)), (("retinamnist", 0),)]),
        ("leukocyte,platelet", [(("bloodmnist", None),), (("bloodmnist", 7),)]),
        ("leukocyte,podocyte", [(("tissuemnist", 4),), (("tissuemnist", 5),)]),
        ("Lunge=lung,Brust=breast", [(("chestmnist", None),), (("breastmnist", None),)]),
    ],
)  # fmt: skip
def test_the_other_names_decide(line, places):
    assert meant(line) == places


def test_lungs_among_organs_are_those_of_ct():
    lungs, liver = meant("lungs,liver")
    assert {flag for flag, _ in lungs} == {flag for flag, _ in liver}
    assert {label for _, label in lungs} == {7, 8}


def test_the_absence_of_a_label_is_all_other_labels_where_none_is_healthy():
    _, others = meant("neutrophil,no neutrophil")
    assert others == tuple(("bloodmnist", k) for k in class_labels("bloodmnist") if k != 6)
    (spelled, _) = meant("well=chestmnist#!2,chest")
    assert spelled[-1] == ("chestmnist", 14)
    assert ("chestmnist", 2) not in spelled


@pytest.mark.parametrize(
    ("line", "present", "absent"),
    [
        ("tumor,no tumor", "a medical image showing a tumor", "a healthy scan, no tumor"),
        ("Tumours,normal", "a medical image showing a tumor", "a healthy scan, no tumor"),
        ("fracture,without fracture", "a scan with a fracture", "a healthy scan, no fracture"),
        ("brain tumor,no tumor", "a brain MRI showing a tumor", "a normal brain MRI, no tumor"),
        ("rash,no rash", "a scan with rash", "a healthy scan, no rash"),
        ("abnormal,normal", "a scan showing disease", "a normal medical image"),
        ("sick brain,healthy brain", "an MRI scan of the brain, abnormal, showing disease",
         "an MRI scan of the brain, normal and healthy"),
    ],
)  # fmt: skip
def test_a_finding_and_its_absence_are_described_alike(line, present, absent):
    one, other = read(line).values()
    assert present in one
    assert absent in other
    assert not set(one) & set(other)


def test_the_absence_of_what_was_never_learned_is_not_learned_either():
    assert unknown_classes(read("rash,no rash")) == ("rash", "no rash")
    assert unknown_classes(read("fracture,normal")) == ("fracture", "normal")
    assert unknown_classes(read("knee,normal knee")) == ("knee", "normal knee")


@pytest.mark.parametrize(
    "line", ["normal,chest", "no chest,chest", "healthy,brain", "normal,CT", "no finding,liver"]
)
def test_an_absence_of_nothing_is_refused_with_a_spelling(line):
    name = next(part for part in line.split(",") if part.startswith(("n", "healthy")))
    with pytest.raises(InvalidArgumentError, match=f"write {name}=pneumoniamnist#0"):
        meant(line)


@pytest.mark.parametrize(
    "line",
    ["CXR,chest", "lungs,chest", "tumor,tumour", "Chest,chest", "eye,retina", "sono,Ultrasound",
     "pneumonia,normal,healthy", "ZEBRA,zebra", "a=chest,b=chestmnist", "liver,Livers"],
)  # fmt: skip
def test_two_names_of_one_meaning_are_refused(line):
    with pytest.raises(InvalidArgumentError, match="mean the same"):
        meant(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a=,breast", "NAME or NAME=MEANING"),
        ("=chest,breast", "NAME or NAME=MEANING"),
        ("a=zebra,breast", "'zebra' is unknown: write a set"),
        ("a=scans.npz#1,breast", "'scans.npz#1' is unknown"),
        ("a=octmnist#4,breast", "octmnist has no label 4: its last is 3"),
    ],
)
def test_a_meaning_that_cannot_be_read_is_refused(line, message):
    with pytest.raises(InvalidArgumentError, match=message):
        meant(line)


def test_words_are_read_as_they_stand():
    captions = read("sick=an odd film of a Knee,chest")
    assert captions == {"sick": ("an odd film of a Knee",), "chest": SET_CAPTIONS["chestmnist"]}
    assert captions_by_names(["sick=an odd film", "chest"], "paper")["sick"] == ("an odd film",)


_OWN = """
import numpy as np
from medlabel.phantoms import Kind, Look

def draw(canvas):
    return np.zeros((canvas.n, canvas.size, canvas.size), np.float32)

KINDS = (
    Kind("intact", draw, "even", "none", captions=("an intact knee",)),
    Kind("worn", draw, "narrow", "none"),
)
LOOKS = [Look("kneetest", False, "a knee", KINDS, captions=("a film of a knee",))]
"""


def test_looks_that_the_user_adds_are_known_by_name(looks_restored):
    add_looks([_OWN])
    assert meant("Worn,intact") == [(("kneetest", 1),), (("kneetest", 0),)]
    assert read("kneetest,intact") == {
        "kneetest": ("a film of a knee",), "intact": ("an intact knee",),
    }  # fmt: skip
    assert read("a=kneetest#1,chest")["a"] == ("kneetest, worn",)
