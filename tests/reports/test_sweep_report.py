import pandas as pd
import pytest
from support_sweeps import TASKS, made, sweep_folder
from support_verdicts import GUESSING, READ

from medlabel.experiments.verdicts import LabellingVerdict, write_verdicts
from medlabel.reports.sweep_report import report_sweep
from medlabel.storage.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "sweep"))


def test_the_page_says_what_came_out_and_where_the_student_loses(store):
    sweep_folder(store, made([0.1, 0.05, -0.05]))
    page = Store(store.uri).read(report_sweep(store).removeprefix(store.uri + "/")).decode()
    assert "on 1 of the tasks, its mean accuracy over the seeds is below" in page
    assert "three &lt;sets&gt;" in page
    assert "Tasks on which the student is worse" in page
    assert "A modality shared" in page
    assert "7 images embedded, 15 cells fitted by 2 workers" in page
    assert "Failed cells" not in page
    assert store.list("report/figures/*") == [
        "report/figures/box_plots.png",
        "report/figures/heat_map_1.png",
    ]
    assert len(pd.read_csv(store.path("leaderboard.csv"))) == 3
    assert len(pd.read_csv(store.path("results.csv"))) == 15


def test_failures_and_phantoms_are_reported(store):
    results = made([0.1, 0.05, 0.0])
    lost = {**results.iloc[0][["task", "seed", "teacher", "student", "recipe"]], "reason": "woe"}
    sweep_folder(store, results[1:], [lost], synthetic=True)
    page = store.read(report_sweep(store).removeprefix(store.uri + "/")).decode()
    assert "1 cell of 15 could not be fitted" in page
    assert "woe" in page
    assert "Synthetic data" in page


def test_several_students_are_compared_and_a_remark_says_that_true_labels_are_needed(store):
    sweep_folder(store, pd.concat([made([0.1, 0.1, 0.1]), made([0.0, 0.0, 0.0], student="large")]))
    page = store.read(report_sweep(store).removeprefix(store.uri + "/")).decode()
    assert "The best student (small, robust) labels" in page
    assert "cannot be used to choose a student" in page
    assert len(store.list("report/figures/heat_map_*")) == 2


def test_tasks_of_three_classes_alone_have_no_map(store):
    tasks = [{**task, "classes": [*task["classes"], "d"]} for task in TASKS]
    sweep_folder(store, made([0.1, 0.1, 0.1]), tasks=tasks)
    report_sweep(store)
    assert store.list("report/figures/*") == ["report/figures/box_plots.png"]


def test_verdicts_are_counted_at_the_top_and_compared_with_the_true_accuracy(store):
    results = made([0.1, 0.1, -0.3])
    sweep_folder(store, results)
    page = store.read(report_sweep(store).removeprefix(store.uri + "/")).decode()
    assert "Can these labels be trusted?" not in page
    who = ("phantom", "robust", "small")
    rows = [LabellingVerdict("a-vs-b", READ, *who), LabellingVerdict("b-vs-c", GUESSING, *who)]
    write_verdicts(store, rows)
    page = store.read(report_sweep(store).removeprefix(store.uri + "/")).decode()
    assert page.index("Of 2 tasks:") < page.index("Leaderboard") < page.index("The verdicts on 2")
    means = 100 * results.groupby("task")["student_accuracy"].mean()
    places = [page.index(f"{means[row.task]:.1f} of 100") for row in rows]
    assert places[1] < places[0]  # guessing comes first
