import numpy as np
import pandas as pd
import pytest

from benchmarks.guessing_plots import estimate_figure, verdict_figure, write_plots


@pytest.fixture
def frame():
    """Four situations of two classes and one of six; the guesses have no estimate."""
    columns = ["situation", "kind", "classes", "accuracy", "estimate", "low", "high"]
    rows = [
        ("a", "drawn", 2, 0.97, 0.95, 0.9, 1.0, "read", 0.9),
        ("b", "drawn", 2, 1.0, 0.9, 0.85, 0.95, "read", 0.8),
        ("c", "real", 2, 0.75, 0.8, 0.7, 0.9, "doubtful", 0.1),
        ("d", "real", 2, 0.5, np.nan, np.nan, np.nan, "guessing", 0.0),
        ("e", "real", 6, 0.2, np.nan, np.nan, np.nan, "guessing", 0.0),
    ]
    return pd.DataFrame(rows, columns=[*columns, "verdict", "auto"])


def test_an_estimate_stands_over_the_truth_and_the_title_says_what_it_is_worth(frame):
    (panel,) = estimate_figure(frame).axes
    title = panel.get_title()
    assert "67% of 3 intervals hold the true accuracy" in title
    assert "error 0.057" in title
    assert "no estimate in 2 situations" in title
    points = {tuple(xy) for drawn in panel.collections[1:] for xy in np.array(drawn.get_offsets())}
    assert (0.97, 0.95) in points
    assert {y for x, y in points if x in (0.2, 0.5)} == {-0.05}  # below the axis
    assert estimate_figure(frame[3:]).axes[0].get_title() == "No estimate in 2 situations"


def test_verdicts_are_stacked_by_true_accuracy_and_number_of_classes(frame):
    two, more = verdict_figure(frame).axes
    assert "4 situations" in two.get_title()
    assert "1 situations" in more.get_title()
    names = [label.get_text() for label in two.get_xticklabels()]
    assert names == ["50 to 60", "70 to 80", "95 to 100"]  # a perfect one belongs to the last
    heights = [[bar.get_height() for bar in bars] for bars in two.containers]
    assert heights == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]  # read, doubtful, guessing
    assert two.lines[0].get_ydata().tolist() == pytest.approx([0.0, 0.1, 0.85])
    assert len(verdict_figure(frame[:4]).axes) == 1


def test_both_figures_are_written(frame, tmp_path):
    write_plots(frame, str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"estimates.png", "verdicts.png"}
