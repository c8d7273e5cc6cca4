"""The key of a student: everything that decides it, and nothing else."""

from dataclasses import replace

import pytest

from medlabel import versions as numbers
from medlabel.data.tasks import parse_task
from medlabel.student import provenance
from medlabel.student.provenance import (
    NOTICES,
    Identity,
    learned_from,
    read_learned_from,
    versions,
    with_key,
)
from medlabel.student.recipes import RECIPES

IDENTITY = Identity(
    parse_task("a=phantom:breastmnist#0,b=phantom:breastmnist#1"),
    {"phantom:breastmnist": "0" * 64},
    {"name": "phantom", "model": "m", "captions": [["a"], ["b"]], "adjust": []},
    RECIPES["robust"],
    "small",
    60,
)


@pytest.mark.parametrize(
    "change",
    [
        {"task": parse_task("a=phantom:breastmnist#0,c=phantom:breastmnist#1")},
        {"sources": {"phantom:breastmnist": "1" * 64}},
        {"teacher": {**IDENTITY.teacher, "captions": [["a"], ["c"]]}},
        {"recipe": replace(RECIPES["robust"], epochs=11)},
        {"student": "paper"},
        {"per_class": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_key_follows_each_fact(change):
    assert replace(IDENTITY, **change).key != IDENTITY.key == replace(IDENTITY).key


@pytest.mark.parametrize("name", numbers.STUDENT)
def test_the_key_follows_each_version_number(monkeypatch, name):
    before = with_key({"task": "t"})
    raised = {**numbers.STUDENT, name: numbers.STUDENT[name] + 1}
    monkeypatch.setattr(provenance, "STUDENT", raised)
    after = with_key({"task": "t"})
    assert after["key"] != before["key"]
    assert after["code_versions"][name] == before["code_versions"][name] + 1


def test_releases_of_libraries_are_recorded_and_change_no_key(monkeypatch):
    key = replace(IDENTITY).key
    monkeypatch.setattr(provenance, "version", lambda package: f"{package}-99")
    assert "torch torch-99" in versions()
    assert replace(IDENTITY).key == key
    assert "99" not in str(replace(IDENTITY).to_json()["code_versions"])


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (["phantom:breastmnist", "phantom:chestmnist"], "drawn"),
        (["phantom:breastmnist/test/0", "scans/3.png"], "mixed"),
        (["breastmnist", "phantoms/"], "real"),
    ],
)
def test_drawn_images_are_known_by_their_source(sources, found):
    assert learned_from(sources) == found
    classes = [{"name": str(n), "source": source} for n, source in enumerate(sources)]
    assert read_learned_from({"task": {"classes": classes}}) == found
    assert read_learned_from({"learned_from": found}) == found
    assert found in NOTICES


@pytest.mark.parametrize("facts", [{}, {"task": None}, {"learned_from": ["drawn"]}])
def test_where_a_student_learned_may_be_unknown(facts):
    assert read_learned_from(facts) is None
