import numpy as np
import pandas as pd
import pytest
from support_sweeps import TASKS, made

from medlabel.experiments.sweep_tables import comparisons, failure_table, leaderboard, pair_matrix


def test_a_comparison_is_a_row_a_task_and_its_interval_is_wider_than_the_plain_one():
    results = made([0.1, 0.05, -0.05])
    table = comparisons(results).set_index("task")
    assert table.loc["b-vs-c", "gain"] == pytest.approx(-0.05, abs=0.01)
    assert (table.loc["b-vs-c", "won"], table.loc["b-vs-c", "lost"]) == (0, 5)
    gains = results[results["task"] == "a-vs-b"]["student_accuracy"] - 0.8
    plain = gains.std() / np.sqrt(5) * 2.776
    assert table.loc["a-vs-b", "high"] - table.loc["a-vs-b", "gain"] > 1.5 * plain
    assert (table["q"] >= table["p"]).all()


def test_the_leaderboard_has_the_best_first_and_tasks_of_one_modality_apart():
    results = pd.concat([made([0.0, 0.0, 0.0]), made([0.1, 0.1, -0.1], student="large")])
    board = leaderboard(results, TASKS)
    assert board["group"].tolist() == [
        *["all tasks"] * 2,
        *["different modalities"] * 2,
        *["a modality shared"] * 2,
    ]
    first = board.iloc[0]
    assert (first["student"], first["tasks"], first["cells"]) == ("large", 3, 15)
    assert (first["won"], first["lost"]) == (2, 1)
    assert first["low"] < first["gain"] < first["high"]
    assert board.iloc[5]["student"] == "large"
    assert board.iloc[5]["gain"] < -0.05


def test_cells_that_are_missing_cost_no_other():
    results = made([0.1, 0.1, 0.1])
    some = results.drop(results.index[[0, 6, 12]])  # one of each task, of different draws
    row = leaderboard(some, TASKS).iloc[0]
    assert (row["cells"], row["missing"], row["same_cells"]) == (12, 3, True)
    assert row["low"] < row["gain"] < row["high"]
    whole = leaderboard(results, TASKS).iloc[0]
    assert row["high"] - row["low"] < 2 * (whole["high"] - whole["low"])


def test_who_has_next_to_nothing_is_last_and_makes_no_other_poorer():
    results, lucky = made([0.1, 0.1, -0.3]), made([0.15, 0.15, 0.15], student="lucky")
    board = leaderboard(pd.concat([results, lucky[:2]]), TASKS)
    some = board[board["group"] == "all tasks"]
    assert some["student"].tolist() == ["small", "lucky"]
    assert some["cells"].tolist() == [15, 2]
    assert some["same_cells"].tolist() == [True, False]
    assert some["missing"].tolist() == [0, 13]


def test_tasks_count_alike_however_many_of_their_cells_are_there():
    results = made([0.0, 0.0, 0.3])
    few = pd.concat(
        [results[results["task"] != "b-vs-c"], results[results["task"] == "b-vs-c"][:3]]
    )
    assert leaderboard(few, TASKS).iloc[0]["gain"] == pytest.approx(0.1, abs=0.01)
    one = made([0.1, 0.1, 0.1], seeds=1)
    assert np.isnan(leaderboard(one, TASKS).iloc[0]["low"])
    assert np.isnan(comparisons(one)["q"]).all()


def test_who_failed_on_the_hard_tasks_is_not_first_for_it():
    """Two that are equally good; one has nothing on the task where both are bad."""
    one, other = made([0.1, 0.1, -0.3]), made([0.1, 0.1, -0.3], student="large")
    other = other[other["task"] != "b-vs-c"]
    board = leaderboard(pd.concat([one, other]), TASKS)
    some = board[board["group"] == "all tasks"]
    assert some["student_accuracy"].nunique() == 1
    assert some["tasks"].tolist() == [2, 2]
    assert some["of_tasks"].tolist() == [3, 3]
    assert some.set_index("student")["missing"].to_dict() == {"large": 5, "small": 0}
    few = other.drop(other.index[0])
    board = leaderboard(pd.concat([one, few]), TASKS)
    assert board["cells"].iloc[:2].tolist() == [9, 9]


def test_the_matrix_of_pairs_is_alike_on_both_sides_and_knows_what_is_not_there():
    table = comparisons(made([0.1, 0.05, -0.05]))
    names, values, alike = pair_matrix(table[:2], TASKS, "gain")
    assert names == ["a", "b", "c"]
    assert values[0, 1] == values[1, 0] == pytest.approx(0.1, abs=0.01)
    assert np.isnan(values[1, 2])
    _, _, alike = pair_matrix(table, TASKS, "gain")
    assert alike[1, 2]
    assert alike.sum() == 2


def test_a_table_of_no_failures_has_its_columns():
    columns = failure_table([]).columns.tolist()
    assert columns == ["task", "seed", "teacher", "student", "recipe", "reason"]
