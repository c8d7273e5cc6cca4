"""Finding students: bundles, runs, and what is neither."""

import json

import pytest
from service_client import write_bundle
from support_verdicts import GUESSING

from medlabel.errors import MedlabelError
from medlabel.versions import PREPROCESSING
from serving.registry import Registry

NUMBERS = {"code_versions": {"preprocessing": PREPROCESSING}}


def test_first_answers_where_none_is_named(tmp_path):
    registry = Registry([write_bundle(tmp_path / "a", "a"), write_bundle(tmp_path / "b", "b")])
    assert (
        registry.find(None).model.id
        == registry.find("").model.id
        == registry.find("a").model.id
        == "a"
    )
    assert registry.find("b").model.id == "b"
    assert registry.find("c") is None
    assert registry.classes("b") == ["chest", "breast"]
    assert registry.classes("c") == []


def test_run_gives_its_best_student(tmp_path):
    write_bundle(tmp_path / "run" / "bundle", "best")
    assert Registry([str(tmp_path / "run")]).default.model.id == "best"


def test_weights_that_were_replaced_have_another_key(tmp_path):
    write_bundle(tmp_path, "a", seed=0)
    before = Registry([str(tmp_path)]).default.key
    write_bundle(tmp_path, "a", seed=1)
    assert Registry([str(tmp_path)]).default.key != before


def test_two_of_one_name_are_one_line(tmp_path):
    with pytest.raises(MedlabelError, match="both called a"):
        Registry([write_bundle(tmp_path / "x", "a"), write_bundle(tmp_path / "y", "a")])


def test_a_verdict_that_was_replaced_has_another_key(tmp_path):
    before = Registry([write_bundle(tmp_path, "a")]).default.key
    write_bundle(tmp_path, "a", verdict=GUESSING.to_json())
    assert Registry([str(tmp_path)]).default.key != before


@pytest.mark.parametrize(
    "damage",
    [
        {"config.json": "{}"},
        {"provenance.json": "[]"},
        {"provenance.json": json.dumps({"verdict": {"level": "sure"}, **NUMBERS})},
    ],
)
def test_damaged_bundle_is_one_line(tmp_path, damage):
    write_bundle(tmp_path)
    for name, content in damage.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(MedlabelError, match="damaged bundle") as raised:
        Registry([str(tmp_path)])
    assert "\n" not in str(raised.value)


def test_folder_without_any_is_one_line(tmp_path):
    with pytest.raises(MedlabelError, match="no bundle"):
        Registry([str(tmp_path)])


@pytest.mark.parametrize("numbers", [{"preprocessing": 1}, {}])
def test_a_student_of_other_pixels_is_not_served(tmp_path, numbers):
    """It is refused when the service starts or is updated, before a replica loads it."""
    with pytest.raises(MedlabelError, match=r"version of pixels|version 1 of pixels"):
        Registry([write_bundle(tmp_path, code_versions=numbers)])


def test_a_student_states_the_pixels_that_it_learned_from(tmp_path):
    assert Registry([write_bundle(tmp_path)]).default.model.preprocessing == PREPROCESSING
