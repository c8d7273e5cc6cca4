import json

import pytest

from medlabel.student.verdict import AccuracyEstimate, Evidence, Example, Verdict


def test_a_verdict_survives_being_written_as_json():
    verdict = Verdict(
        "doubtful",
        "The teacher has never learned the word 'hand'.",
        (Evidence("unknown_words", "guessing", "never learned", 1.0, "hand"),),
        ("Give captions.",),
        AccuracyEstimate(0.7, 0.6, 0.8),
        auto_above=0.97,
        examples=(Example("a.png", "hand", "looks like a chest"),),
    )
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


@pytest.mark.parametrize("content", [{}, {"level": "sure", "summary": "x"}, {"level": "read"}])
def test_other_json_is_no_verdict(content):
    with pytest.raises(ValueError, match="not a verdict"):
        Verdict.from_json(content)
