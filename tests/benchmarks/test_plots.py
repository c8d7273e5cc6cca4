import pytest

from benchmarks.plots import noise_figure, trust_figure


@pytest.fixture
def rows():
    common = {"task": "a-b", "seeds": 2, "teacher": 0.8, "student": 0.9, "worst": 0.85}
    return [
        {**common, "noise": noise, "recipe": recipe, "flagged": recipe == "paper", "~neighbours": s}
        for noise in ("symmetric-20", "image-80", "skewed")
        for recipe, s in (("robust", 0.9), ("paper", 0.4), ("robust-without-members", 0.8))
    ]


def test_recipes_are_joined_and_mistakes_that_follow_images_stand_apart(rows):
    (panel,) = noise_figure(rows).axes
    drawn = [line for line in panel.lines if len(line.get_xdata())]
    labels = {line.get_label() for line in drawn}
    assert {"robust", "paper", "_robust", "_paper"} <= labels
    assert not any("without" in label for label in labels)


def test_a_row_that_is_warned_of_is_a_cross(rows):
    (panel,) = trust_figure(rows).axes
    drawn = [dots for dots in panel.collections if len(dots.get_offsets())]
    crosses = [dots for dots in drawn if len(dots.get_paths()[0].vertices) == 4]
    assert [len(dots.get_offsets()) for dots in crosses] == [3]  # the paper's
    assert [len(dots.get_offsets()) for dots in drawn if dots not in crosses] == [3]
