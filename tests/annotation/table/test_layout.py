import pytest

from medlabel.annotation.table import Origin


def test_an_origin_knows_what_a_bundle_tells():
    teacher = {"name": "phantom", "model": "clip-1", "captions": [["a chest"], ["a breast"]]}
    origin = Origin.of("b", {"teacher": teacher, "recipe": {"name": "robust"}}, 0.9, "v", "t")
    assert (origin.teacher, origin.teacher_model, origin.recipe) == ("phantom", "clip-1", "robust")
    assert len(origin.captions) == 32
    assert Origin.of("b", {"teacher": {}}, 0.9, "v", "t").captions == ""


@pytest.mark.parametrize(
    ("provenance", "verdict", "below"),
    [
        ({}, "", 0.0),
        ({"warnings": ["looks undecidable"]}, "guessing", 0.0),
        ({"verdict": {"level": "read", "summary": "x"}}, "read", 0.0),
        ({"verdict": {"level": "doubtful", "summary": "x", "auto_above": 0.97}}, "doubtful", 0.97),
    ],
)
def test_rows_say_which_verdict_they_were_decided_by(provenance, verdict, below):
    origin = Origin.of("b", provenance, 0.9, "v", "t")
    assert (origin.verdict, origin.doubtful_below) == (verdict, below)
