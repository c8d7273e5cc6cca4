import ast
import gc
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support import write_npz

from medlabel.data.truth import SealedTruth
from medlabel.errors import MedlabelError
from medlabel.experiments import tune_spec
from medlabel.experiments.sweep_spec import read_sweep
from medlabel.experiments.tune_spec import TuneSpec
from medlabel.experiments.tune_tables import winner_verdicts
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle
from medlabel.student.recipes import get_recipe
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, save_clip
from rayjobs.sweep import prepare as sweep_prepare
from rayjobs.tune import job, tracking, trial
from rayjobs.tune import search as tune_search

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two small sources, a teacher with random weights and a quick recipe to start from."""
    folder = tmp_path_factory.mktemp("tune")
    for name, level in (("dark", 60), ("grey", 120)):
        write_npz(folder / f"{name}.npz", level=level, n=24)
    torch.manual_seed(0)
    save_clip(build_clip(PretrainingConfig()), folder / "clip")
    (folder / "quick.yaml").write_text("base: adam\nepochs: 10\nbatch_size: 8\n")
    return folder


def settings(folder, out, *, search="optuna", trials=4, refit="false"):
    (folder / "spec.yaml").write_text(f"""
sources: [dark=dark.npz, grey=grey.npz]
teachers: [{{clip: {folder / "clip"}, name: random, adjust: prior}}]
recipes: quick.yaml
seeds: 3
trials: {trials}
search: {search}
refit: {refit}
space:
  student: [paper, small]
  learning_rate: {{low: 0.001, high: 0.01, log: true}}
""")
    spec = read_sweep(folder / "spec.yaml", TuneSpec)
    return job.TuneConfig(spec, str(out), folder / "home", workers=1)


@pytest.fixture(scope="module")
def done(folder, ray_cluster):
    return job.tune(settings(folder, folder / "done", refit="true"))


def finished(store):
    return {name: store.read(name) for name in store.list("units/*/cells/*/cell.json")}


def test_a_search_leaves_its_tables_a_recipe_and_a_bundle(done, folder):
    store = Store(str(folder / "done"))
    assert len(done.trials) == 4
    assert done.trials["seeds"].isin([2, 3]).all()
    assert done.trials["agreement"].between(0.1, 1).all()
    assert (done.trials["reason"] == "").all()
    assert done.choice.keeps_default  # three seeds show no difference between such students
    who = ["winner", "best trial", "default", "a random trial"]
    assert done.comparison["who"].tolist() == who
    agreed = done.comparison.set_index("who")["agreement"]
    assert agreed["winner"] == agreed["default"] == pytest.approx(done.choice.default)
    assert agreed["best trial"] == pytest.approx(done.choice.best_trial)
    assert done.winner == settings(folder, folder / "done").spec.start
    recipe = get_recipe(store.path("winner.yaml"))
    assert replace(recipe, name=done.winner.name) == done.winner
    (bundle,) = done.bundles
    assert load_bundle(bundle).student.classes == ["dark", "grey"]
    assert {"trials.csv", "evaluated.csv", "comparison.csv", "results.csv"} <= set(
        store.list("*.csv")
    )
    assert "rank by accuracy" in Path(done.report).read_text()


@pytest.mark.parametrize(("refit", "file"), [
    ("true", "winner/dark-vs-grey/verdict.json"), ("false", "verdicts.json"),
])  # fmt: skip
def test_a_search_has_a_verdict_on_each_task_and_the_page_shows_it(done, folder, refit, file):
    asked = settings(folder, folder / f"judged-{refit}", trials=1, refit=refit)
    report = done.report if refit == "true" else job.tune(asked).report
    store = Store(str(Path(report).parents[1]))
    assert store.exists(file)
    (found,) = winner_verdicts(store)
    assert (found.task, found.teacher) == ("dark-vs-grey", "")
    assert found.verdict.level != "read"  # its weights are random
    assert found.verdict.summary.split(".")[0] in Path(report).read_text()


def test_tensorboard_has_a_file_a_trial(done, folder):
    events = Store(str(folder / "done")).list("tune/optuna/*/events.out.tfevents.*")
    assert len({name.split("/")[2] for name in events}) == 4


def test_a_finished_search_fits_nothing_again(done, folder, monkeypatch):
    monkeypatch.setattr(tune_search.tune, "Tuner", lambda *_, **__: pytest.fail("it was tuned"))
    store = Store(str(folder / "done"))
    before = finished(store)
    again = job.tune(settings(folder, folder / "done", refit="true"))
    assert finished(store) == before
    pd.testing.assert_frame_equal(again.comparison, done.comparison)


def test_another_search_in_the_folder_is_refused(done, folder):
    with pytest.raises(MedlabelError, match="another run"):
        job.tune(settings(folder, folder / "done", trials=5, refit="true"))


class _Stopped(Exception):
    """What stands for a kill in a test."""


def test_a_search_that_was_stopped_goes_on_and_finished_trials_are_not_run_again(
    folder, monkeypatch
):
    asked = settings(folder, folder / "stopped")

    def stop(done, total):
        if done >= 2:
            raise _Stopped

    search = tune_search.search
    stopping = lambda *arguments: search(*arguments[:-1], stop)  # noqa: E731  (used once)
    monkeypatch.setattr(job, "search", stopping)
    with pytest.raises(Exception):  # noqa: B017, PT011  (Tune may wrap it)
        job.tune(asked)
    gc.collect()  # the stopped search's workers go with it
    store = Store(asked.out)
    before = finished(store)
    assert len(before) >= 3 + 2 * 2  # the default's draws, and two trials'
    assert not store.exists("trials-optuna.parquet")
    monkeypatch.setattr(job, "search", search)
    outcome = job.tune(asked)
    assert len(outcome.trials) == 4
    after = finished(store)
    assert {name: after[name] for name in before} == before


def test_what_cannot_be_fitted_counts_least_and_the_rest_goes_on(folder, monkeypatch):
    monkeypatch.setattr("medlabel.experiments.tune_spec.check_student", lambda *_: None)
    asked = settings(folder, folder / "failing", search="random", trials=4)
    space = {"student": ("paper", "cnn:4,kernel=99,padding=none")}
    asked = replace(asked, spec=asked.spec.model_copy(update={"space": space, "seed": 1}))
    trials = job.tune(asked).trials
    bad = trials["student"] != "paper"
    assert 0 < bad.sum() < 4
    assert (trials.loc[bad, "agreement"] == -1).all()
    assert (trials.loc[bad, "reason"] != "").all()
    assert (trials.loc[~bad, "reason"] == "").all()


# ---------------------------------------------------------------- truth


def test_the_objective_is_the_same_whatever_is_true(done, folder, monkeypatch):
    """With every true label shuffled, the same trials win with the same figures."""

    def draw_shuffled(*arguments):
        cells, truth = sample_cells(*arguments)
        ids = sorted({i for cell in cells for i in (*cell.pool, *cell.test)})
        labels = np.random.default_rng(1).permutation(truth.unseal(ids))
        return cells, SealedTruth(ids, labels.tolist())

    sample_cells = sweep_prepare.sample_cells
    monkeypatch.setattr(sweep_prepare, "sample_cells", draw_shuffled)
    blind = job.tune(settings(folder, folder / "blind"))
    timed = ["fit_seconds"]
    pd.testing.assert_frame_equal(blind.trials.drop(columns=timed), done.trials.drop(columns=timed))
    assert blind.winner == done.winner
    assert (blind.comparison["accuracy"] != done.comparison["accuracy"]).any()


def test_what_trials_are_given_holds_no_truth_and_no_id(folder, monkeypatch):
    given = []
    monkeypatch.setattr(job, "search", lambda *arguments: given.append(arguments[3]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        job.tune(settings(folder, folder / "looked-at"))
    sent = pickle.dumps(given[0])  # sealed truth cannot be pickled
    assert b"/train/" not in sent
    assert b"SealedTruth" not in sent


@pytest.mark.parametrize("module", [trial, tune_search, tune_spec])
def test_no_code_of_the_objective_can_name_truth(module):
    tree = ast.parse(Path(module.__file__).read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if "truth" in name.lower() or "evaluation.metrics" in name}
    assert not names & {"unseal", "labels_of", "run_tables", "judge"}


# ---------------------------------------------------------------- tracking


@pytest.mark.parametrize("name", tracking.TRACKERS)
def test_a_tracker_that_is_missing_names_its_pip_command(name, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    with pytest.raises(MedlabelError, match=rf"pip install 'medlabel\[{name}\]'"):
        tracking.trackers((name,), "mine")


def test_an_unknown_tracker_is_refused_with_what_there_is():
    with pytest.raises(MedlabelError, match="choose from mlflow, wandb"):
        tracking.trackers(("aim",), "mine")
