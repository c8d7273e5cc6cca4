import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support import write_npz

from medlabel.data.tasks import source_image
from medlabel.errors import MedlabelError
from medlabel.evaluation.metrics import true_labels
from medlabel.experiments.sweep_spec import TeacherSpec, plan, read_sweep
from medlabel.experiments.verdicts import read_verdicts
from medlabel.storage.store import Store
from medlabel.teacher.captions import paper_captions
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, save_clip
from rayjobs import fit_placement
from rayjobs.run import RunConfig, run
from rayjobs.sweep import fitting, job
from rayjobs.sweep.estimate import Rates, estimate
from rayjobs.sweep.prepare import SweepConfig, prepare
from rayjobs.sweep.sharing import SharedPixels, fit_task_cell, gather

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three small sources, one in colour, a teacher with random weights and a quick recipe."""
    folder = tmp_path_factory.mktemp("sweep")
    for name, level in (("dark", 60), ("grey", 120), ("red", 180)):
        write_npz(folder / f"{name}.npz", level=level, n=24, colour=name == "red")
    torch.manual_seed(0)
    save_clip(build_clip(PretrainingConfig()), folder / "clip")
    (folder / "quick.yaml").write_text("base: paper\nepochs: 1\n")
    return folder


def settings(folder, out, **changed):
    text = f"""
sources: {changed.pop("sources", "[dark=dark.npz, grey=grey.npz, red=red.npz]")}
teachers: [{{clip: {folder / "clip"}, name: random}}]
recipes: quick.yaml
students: {changed.pop("students", "[own]")}
seeds: {changed.pop("seeds", 2)}
"""
    (folder / "spec.yaml").write_text(text)
    spec = read_sweep(folder / "spec.yaml")
    return SweepConfig(spec, str(out), folder / "home", **changed)


@pytest.fixture(scope="module")
def done(folder, ray_cluster):
    return job.sweep(settings(folder, folder / "done"))


def test_a_sweep_leaves_a_row_a_cell_and_its_tables(done, folder):
    assert done.results["task"].unique().tolist() == ["dark-vs-grey", "dark-vs-red", "grey-vs-red"]
    assert done.results["seed"].tolist() == [0, 1] * 3
    assert (done.encoded, done.fitted, len(done.failures)) == (3 * (24 + 18), 6, 0)
    reads = Store(str(folder / "done")).read_json("captions.json")
    assert reads["random"]["dark"] == list(paper_captions("dark"))
    store = Store(str(folder / "done"))
    pd.testing.assert_frame_equal(store.read_table("results.parquet"), done.results)
    assert len(store.read_table("fits.parquet")) == 6
    assert b"dark-vs-grey" in store.read("leaderboard.csv") + store.read("comparisons.csv")
    assert store.list("units/*/cells/*/bundle") == []


def test_each_labelling_has_a_verdict_and_the_page_shows_it(done, folder):
    store = Store(str(folder / "done"))
    found = read_verdicts(store)
    columns = ["task", "teacher", "recipe", "student"]
    labellings = done.results[columns].drop_duplicates().itertuples(index=False, name=None)
    assert [each.key for each in found] == list(labellings)
    assert [each.verdict.examples for each in found] == [()] * 3
    assert all(each.verdict.level != "read" for each in found)  # its weights are random
    page = Path(done.report).read_text()
    assert page.count('class="v-row') == 3
    assert found[0].verdict.summary.split(".")[0] in page


def test_a_cell_of_a_sweep_is_that_of_a_run(done, folder):
    spec = settings(folder, "unused").spec
    manifest = Store(str(folder / "done")).read_json("sweep.json")
    assert manifest["recipes"]["quick"]["epochs"] == 1
    one = plan(spec)[1]
    request = RunConfig(
        one.task,
        str(folder / "run"),
        one.recipe,
        folder / "home",
        clips=one.teacher.clip,
        seeds=2,
        ceiling_seeds=0,
    )
    theirs = run(request).results
    ours = done.results[done.results["task"] == "dark-vs-red"].reset_index(drop=True)
    columns = [c for c in theirs.columns if c != "teacher"]  # here it has a name of its own
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])
    assert Store(str(folder / "done")).exists(
        f"units/{Store(request.out).read_json('run.json')['key']}/cells/seed-0000/cell.json"
    )


def test_one_worker_and_two_end_in_the_same_table(done, folder):
    alone = job.sweep(settings(folder, folder / "alone", workers=1))
    pd.testing.assert_frame_equal(alone.results, done.results)
    tables = [Store(str(folder / name)).read("results.parquet") for name in ("done", "alone")]
    assert tables[0] == tables[1]
    assert (alone.encoded, alone.fitted) == (0, 6)


def test_what_is_missing_is_fitted_and_a_larger_sweep_keeps_what_is_there(done, folder):
    store = Store(str(folder / "alone"))
    lost = store.list("units/*/cells/seed-0001/cell.json")[0]
    store.remove(lost)
    again = job.sweep(settings(folder, folder / "alone"))
    assert again.fitted == 1
    pd.testing.assert_frame_equal(again.results, done.results)
    more = job.sweep(settings(folder, folder / "alone", seeds=3))
    assert more.fitted == 3
    assert job.sweep(settings(folder, folder / "alone", seeds=3)).fitted == 0
    judged = Store(str(folder / "done")).read("verdicts.json")
    assert store.read("verdicts.json") == judged


def test_a_unit_that_fails_is_reported_and_the_rest_goes_on(folder, monkeypatch):
    """The check before the work is taken away: what it would have caught fails when it fits."""
    monkeypatch.setattr("medlabel.experiments.sweep_spec.check_student", lambda *_: None)
    asked = settings(folder, folder / "failing", students="[own, none]", seeds=1)
    outcome = job.sweep(asked)
    assert outcome.results["student"].unique().tolist() == ["paper"]
    assert outcome.failures["student"].tolist() == ["none"] * 3
    assert {each.student for each in read_verdicts(Store(asked.out))} == {"paper"}
    assert "unknown student" in outcome.failures["reason"].iloc[0]
    page = Path(outcome.report).read_text()
    assert "3 cells of 6 could not be fitted" in page
    only = replace(asked, out=str(folder / "nothing"))
    only = replace(only, spec=only.spec.model_copy(update={"students": ("none",)}))
    with pytest.raises(MedlabelError, match="no cell could be fitted"):
        job.sweep(only)


def test_pixels_are_gathered_from_arrays_of_two_kinds():
    grey, red = np.full((2, 3, 3), 7, np.uint8), np.full((1, 3, 3, 3), 9, np.uint8)
    found = gather((grey, red), np.array([True, False]), np.array([0, 1]), colour=True)
    assert found.shape == (2, 3, 3, 3)
    assert (found[0].mean(), found[1].mean()) == (9, 7)
    alone = gather((grey, red[:0]), np.array([False]), np.array([1]), colour=False)
    assert alone.shape == (1, 3, 3)


def test_where_a_worker_reads_an_image_tells_nothing_of_its_class(folder):
    asked = settings(folder, "unused", sources="['phantom:breastmnist', 'phantom:chestmnist']")
    prepared = prepare(asked)
    (sample,) = prepared.samples.values()
    labels = true_labels(sample.truth, sample.ids)
    pixels = SharedPixels(prepared)
    in_colour, row = pixels.places(sample.ids)
    assert not in_colour.any()
    for order in (row, np.argsort(row)):  # by chance, half of each class is above the median
        above = labels[order >= np.median(order)].mean()
        assert abs(above - 0.5) < 0.15
    grey = pixels.arrays()[0]
    for number in range(5):
        np.testing.assert_array_equal(
            grey[row[number]], source_image(sample.sources, sample.ids[number])
        )


def test_a_cell_that_kills_its_worker_takes_no_other_with_it(folder, monkeypatch):
    some = "[dark=dark.npz, grey=grey.npz]"
    asked = settings(folder, folder / "killing", sources=some, seeds=4, workers=1)
    monkeypatch.setattr(fit_placement, "_RETRIES", 0)

    def deadly(store, seed, *arguments, **choices):
        if seed == 1:
            os._exit(1)
        fit_task_cell(store, seed, *arguments, **choices)

    monkeypatch.setattr(fitting, "fit_task_cell", deadly)
    outcome = job.sweep(asked)
    assert outcome.failures["seed"].tolist() == [1]
    assert outcome.failures["reason"].tolist() == ["its worker process died (attempts: 1)"]
    assert sorted(outcome.results["seed"]) == [0, 2, 3]


def test_a_plan_counts_what_a_sweep_does(done, folder):
    stated = estimate(settings(folder, "unused", workers=4, seeds=10), Rates(2.0, 100.0))
    assert (stated.tasks, stated.cells, stated.images) == (3, 30, 3 * (24 + 18))
    assert list(stated.encodes.values()) == [0]
    assert stated.fit_seconds == 60
    assert stated.seconds == pytest.approx(15 + 0.04 * 30 + 2 * 3, abs=1)
    elsewhere = replace(settings(folder, "unused"), home=folder / "nowhere")
    found = estimate(elsewhere, Rates())
    assert list(found.encodes.values()) == [3 * (24 + 18)]
    assert 0 < found.fit_seconds < 60
    assert "measured on this cluster" in dict(found.lines())["in all"]
    assert found.untrained == ()
    with pytest.raises(MedlabelError, match="state --workers too"):
        estimate(settings(folder, "unused"), Rates(2.0, 100.0))


def test_a_plan_needs_no_trained_teacher_and_says_what_is_to_come(folder):
    asked = settings(folder, "unused")
    spec = asked.spec.model_copy(update={"teachers": (TeacherSpec(clip=("phantom", "phantom-7")),)})
    found = estimate(replace(asked, spec=spec, home=folder / "empty"), Rates(seconds_per_fit=1.0))
    assert found.untrained == ("phantom-7",)  # the other comes with the package
    assert dict(found.lines())["to train first: phantom-7"].startswith("minutes, once")
    assert 0 < found.encode_seconds < 100
    assert list((folder / "empty").glob("**/phantom*")) == []
