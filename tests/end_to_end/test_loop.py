"""The whole loop on small made-up images, with a file of scores as the teacher."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support import write_npz

from medlabel.data.sources import open_source
from medlabel.data.tasks import parse_task
from medlabel.data.truth import SealedTruth
from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import finished_seeds, read_cell
from medlabel.storage.store import Store
from medlabel.student.recipes import RECIPES
from medlabel.teacher.adjust import Adjustment, parse_steps
from medlabel.teacher.zero_shot import score_table
from rayjobs import run as job
from rayjobs.fit import fit_cell

QUICK = replace(RECIPES["robust"], epochs=2, min_steps=None, average_from_epoch=0)


@pytest.fixture
def teacher(tmp_path):
    """A task of two files, and scores of all their images that are wrong one time in five."""
    ids, labels, specs = [], [], []
    for label, level in enumerate((80, 140)):
        path = write_npz(tmp_path / f"level{level}.npz", level=level)
        specs.append(f"c{level}={path}")
        for split, content in open_source(str(path)).splits.items():
            ids += [f"level{level}/{split}/{i}" for i in range(len(content.images))]
            labels += [label] * len(content.images)
    wrong = np.random.default_rng(0).random(len(ids)) < 0.2
    scores = np.eye(2, dtype=np.float32)[np.array(labels) ^ wrong]
    score_table(ids, scores, ("c80", "c140")).to_parquet(tmp_path / "scores.parquet")
    return ",".join(specs), tmp_path / "scores.parquet"


@pytest.fixture
def settings(teacher, tmp_path):
    task, scores = teacher
    return job.RunConfig(
        parse_task(task),
        str(tmp_path / "run"),
        QUICK,
        tmp_path / "home",
        scores=scores,
        seeds=2,
        ceiling_seeds=0,
    )


@pytest.fixture
def fitted_here(monkeypatch, one_thread):
    """Cells are fitted in this process: starting Ray takes longer than they do."""

    def fit_cells(store, workload, cells, *_, **__):
        for rows in cells:
            fit_cell(store, workload, rows)
        return len(cells)

    monkeypatch.setattr(job, "fit_cells", fit_cells)
    monkeypatch.setattr(job, "start_ray", lambda _: None)


def predictions(out):
    store = Store(out)
    return {seed: read_cell(store, seed).test.tobytes() for seed in sorted(finished_seeds(store))}


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_leaves_its_tables_and_more_seeds_keep_what_is_there(settings):
    outcome = job.run(replace(settings, ceiling_seeds=1))
    store = Store(settings.out)
    columns = ["task", "seed", "teacher", "student", "recipe", "n_pool", "n_test"]
    assert list(outcome.results.columns[:7]) == columns
    assert outcome.results["n_pool"].tolist() == [80, 80]
    pd.testing.assert_frame_equal(store.read_table("results.parquet"), outcome.results)
    baselines = store.read_table("baselines.parquet")
    assert set(baselines["baseline"]) == {"majority class", "pixel statistics", "true labels"}
    recalls = store.read_table("recalls.parquet")
    assert len(recalls) == 2 * 2 * 2  # seeds, teacher and student, classes
    assert (
        store.read_json("diagnostics.json")["warnings"] == list(outcome.diagnostics.warnings) == []
    )
    assert store.exists("bundle/model.safetensors")
    assert b"c140" in store.read("report/index.html")
    assert store.list("ceiling/cells/*/bundle/*") == []
    more = job.run(replace(settings, seeds=3, ceiling_seeds=1))
    assert more.fitted == 1
    pd.testing.assert_frame_equal(more.results.iloc[:2], outcome.results)


def test_a_rows_number_does_not_tell_its_class(teacher):
    task = parse_task(teacher[0])
    cells, truth = job.sample_cells(task, job.open_sources(task), range(2))
    labels = truth.unseal(job.sampled_ids(cells))
    assert 0.3 < np.abs(np.diff(labels)).mean() < 0.7


@pytest.mark.usefixtures("fitted_here")
def test_students_and_tables_go_by_the_adjusted_teacher(settings):
    skewed = pd.read_parquet(settings.scores)
    skewed[["c80", "c140"]] = 0.3 * skewed[["c80", "c140"]] + [0.6, 0.1]
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, len(skewed))
    skewed["c80"] += noise
    skewed["c140"] -= noise
    skewed.to_parquet(settings.scores)
    adjustment = Adjustment(parse_steps("prior"))
    first = job.run(replace(settings, adjustment=adjustment))
    assert first.results["teacher"].unique().tolist() == ["scores, prior"]
    assert first.results["teacher_accuracy"].min() > 0.6
    store = Store(settings.out)
    assert store.read_json("run.json")["teacher"]["adjust"] == ["prior"]
    assert (store.read_table("scores.parquet")["c80"] > 0.5).all()
    adjusted = store.read_table("adjusted.parquet")
    likeliest = adjusted["c80"] > adjusted["c140"]
    assert likeliest.groupby([adjusted["seed"], adjusted["split"]]).mean().tolist() == [0.5] * 4
    raw = job.run(replace(settings, out=settings.out + "-raw"))
    assert raw.results["teacher_accuracy"].tolist() == [0.5, 0.5]
    assert predictions(settings.out) != predictions(settings.out + "-raw")
    with pytest.raises(MedlabelError, match="different key, teacher"):
        job.run(settings)


@pytest.mark.usefixtures("fitted_here")
@pytest.mark.parametrize("steps", ["", "temperature=2,em-prior,prior"])
def test_truth_reaches_nothing_but_evaluation(settings, monkeypatch, steps):
    """With every true label shuffled, all but the evaluated figures stays as it was."""
    settings = replace(settings, adjustment=Adjustment(parse_steps(steps)))
    honest = job.run(settings)

    def draw_shuffled(*arguments):
        cells, truth = sample_cells(*arguments)
        ids = sorted({i for cell in cells for i in (*cell.pool, *cell.test)})
        labels = np.random.default_rng(1).permutation(truth.unseal(ids))
        return cells, SealedTruth(ids, labels.tolist())

    sample_cells = job.sample_cells
    monkeypatch.setattr(job, "sample_cells", draw_shuffled)
    blind = job.run(replace(settings, out=settings.out + "-blind"))
    assert predictions(settings.out) == predictions(settings.out + "-blind")
    stores = Store(settings.out), Store(settings.out + "-blind")
    tables = ["adjusted.parquet"] if steps else []
    for name in (*tables, "scores.parquet", "bundle/model.safetensors", "run.json"):
        assert stores[0].read(name) == stores[1].read(name)
    assert (honest.results["student_accuracy"] != blind.results["student_accuracy"]).any()


def command(task, scores, out, home):
    arguments = ["run", task, "--scores", str(scores), "--out", str(out)]
    extra = ["--seeds", "8", "--ceiling-seeds", "0", "--recipe", "adam"]
    environment = {**os.environ, "MEDLABEL_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "medlabel.cli", *arguments, *extra],
        env=environment,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.usefixtures("fitted_here")
def test_a_killed_run_goes_on_and_ends_with_the_table_of_one_that_was_not(teacher, tmp_path):
    killed, whole = Store(str(tmp_path / "killed")), Store(str(tmp_path / "whole"))
    process = command(*teacher, killed.uri, tmp_path / "home")
    deadline = time.monotonic() + 200
    while not finished_seeds(killed) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {name: killed.read(name) for name in killed.list("cells/*/cell.json")}
    assert before
    assert not killed.exists("results.parquet")
    assert command(*teacher, killed.uri, tmp_path / "home").wait() == 0
    task, scores = teacher
    job.run(
        job.RunConfig(
            parse_task(task),
            whole.uri,
            RECIPES["adam"],
            tmp_path / "home",
            scores=scores,
            seeds=8,
            ceiling_seeds=0,
        )
    )
    assert before == {name: killed.read(name) for name in before}
    pd.testing.assert_frame_equal(
        killed.read_table("results.parquet"), whole.read_table("results.parquet")
    )
