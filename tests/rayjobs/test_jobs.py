"""The jobs from Python: options become configurations, results become data frames."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from support_verdicts import DOUBTFUL, GUESSING, READ

import medlabel as ml
from medlabel.errors import MedlabelError
from medlabel.experiments.verdicts import write_verdict
from medlabel.jobs import options as jobs
from medlabel.reports.annotation_summary import AnnotationSummary
from medlabel.storage.store import Store
from medlabel.student.recipes import Recipe, get_recipe
from rayjobs.annotate import AnnotateResult

TINY = Recipe("tiny", "cnn:4", "adam", learning_rate=0.05, epochs=20)


def test_options_of_run_become_its_configuration(tmp_path, dark, bright):
    task = f"dark={dark},bright={bright}"
    config = jobs.run_config(
        task, tmp_path / "out", clip=["RN50", "RN50", "phantom"], adjust="prior", seeds=2,
        scores="scores.csv", home=tmp_path,
    )  # fmt: skip
    assert config.task.class_names == ("dark", "bright")
    assert (config.out, config.home) == (str(tmp_path / "out"), tmp_path)
    assert (config.clips, config.scores) == (("RN50", "phantom"), Path("scores.csv"))
    assert [str(step) for step in config.adjustment.steps] == ["prior"]
    assert config.recipe == get_recipe("robust")
    assert jobs.run_config(task, "out", recipe=TINY).recipe == TINY
    with pytest.raises(MedlabelError, match="unknown captions"):
        jobs.run_config(task, "out", captions="tabel")
    for name, value in (("seeds", 0), ("per_class", 1), ("workers", 0), ("gpus_per_worker", -1)):
        with pytest.raises(ValueError, match=f"{name}={value}: give "):
            jobs.run_config(task, "out", **{name: value})


def test_one_source_may_be_given_alone(tmp_path):
    config = jobs.label_config("scans/", ["chest", "zebra"], "out", home=tmp_path)
    assert config.sources == ("scans/",)
    unknown, unlearned = jobs.caption_warnings(config)
    assert "no captions are known for 'zebra'" in unknown
    assert 'never learned the word "zebra"' in unlearned
    config = jobs.label_config(["a", "b"], ["chest", "zebra"], "out", captions="paper")
    assert config.sources == ("a", "b")
    assert jobs.caption_warnings(config) == [unlearned]
    config = jobs.label_config("a", ["chest", "zebra"], "out", captions="paper", clip="RN50")
    assert jobs.caption_warnings(config) == []


def test_what_the_teacher_reads_is_shown_before_the_work(tmp_path, capsys, dark, bright):
    with pytest.raises(MedlabelError, match="no such file"):
        ml.label(str(tmp_path / "gone"), ["pneumonia", "Well=no finding"], tmp_path / "out")
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "The teacher reads:"
    assert shown[1].startswith("  pneumonia: a chest X-ray showing pneumonia | ")
    assert shown[2].startswith("  Well: a chest X-ray of a healthy adult, no finding | ")
    config = jobs.run_config(f"chest={dark},bone={bright}", "out", scores=tmp_path / "s.csv")
    assert jobs.captions_read(config) == {}
    config = jobs.run_config(f"chest={dark},bone={bright}", "out")
    assert jobs.captions_read(config)["bone"][0] == "an X-ray image of the bone"


def test_an_ambiguous_name_is_refused_before_the_work(tmp_path, dark, bright):
    for start in (
        lambda: ml.label(dark, ["chest", "pneumonia"], tmp_path / "out", home=tmp_path),
        lambda: ml.run(f"chest={dark},pneumonia={bright}", tmp_path / "out", home=tmp_path),
    ):
        with pytest.raises(MedlabelError, match="pneumonia=pneumoniamnist for all chest films"):
            start()
    assert not (tmp_path / "out").exists()


def test_a_mistake_is_raised_before_ray_starts(tmp_path):
    with pytest.raises(MedlabelError, match="two classes or more"):
        ml.label("scans/", ["chest"], tmp_path / "out", home=tmp_path)
    with pytest.raises(MedlabelError, match="not a bundle"):
        ml.annotate("scans/", tmp_path, tmp_path / "out")
    with pytest.raises(MedlabelError, match="two classes or more"):
        ml.run("chestmnist", tmp_path / "out")


@pytest.mark.parametrize("verdict", [READ, DOUBTFUL, GUESSING], ids=lambda verdict: verdict.level)
def test_a_verdict_is_returned_and_warned_of_unless_it_is_read(monkeypatch, tmp_path, verdict):
    write_verdict(Store(str(tmp_path)), verdict)
    result = AnnotateResult(0, AnnotationSummary(), "page", ("it looks undecidable",), verdict)
    for job in ("label_sources", "annotate_sources"):
        monkeypatch.setattr(f"medlabel.jobs.{job}", lambda config, progress: result)
    for call in (
        lambda: ml.label("scans/", ["chest", "breast"], tmp_path, home=tmp_path),
        lambda: ml.annotate("scans/", tmp_path, tmp_path),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            done = call()
        expected = [] if verdict is READ else [f"{verdict.level}: {verdict.summary} "]
        assert [str(one.message)[: len(expected[0])] for one in caught] == expected
        assert done.verdict == verdict


def test_a_student_of_a_notebook_annotates_on_ray(ray_cluster, tmp_path, dark, bright):
    images = [*ml.load_images(dark, split="train"), *ml.load_images(bright, split="train")]
    student = ml.Student(TINY).fit(images, ["dark"] * 40 + ["bright"] * 40)
    student.save_pretrained(tmp_path / "bundle")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "broken.png").write_bytes(b"no image")
    stages = []
    done = ml.annotate(
        [str(dark), str(tmp_path / "scans")], tmp_path / "bundle", tmp_path / "out", workers=1,
        on_progress=lambda stage, done, total: stages.append(stage),
    )  # fmt: skip
    assert "annotating" in stages
    assert len(done.annotations) == 70
    assert done.rejects["uri"].tolist() == [str(tmp_path / "scans" / "broken.png")]
    offline = ml.load_images(dark)
    own = student.decide(offline)
    rows = done.annotations.set_index("uri").loc[list(offline.uris)]  # pieces are named by hashes
    assert rows["label"].tolist() == own["label"].tolist()
    assert rows["decision"].tolist() == own["decision"].tolist()
    np.testing.assert_allclose(rows["confidence"], own["confidence"], atol=1e-5)
    assert done.student.bundle_.id == student.bundle_.id
    assert Path(done.report).exists()


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # Ray of its own code
def test_a_run_ends_in_data_frames(ray_cluster, tmp_path, dark, bright):
    splits = (("train", 40), ("val", 10), ("test", 20))
    names = [
        (f"{file.stem}/{split}/{row}", file == dark)
        for file in (dark, bright)
        for split, n in splits
        for row in range(n)
    ]
    lines = [f"{name},0.9,0.1" if first else f"{name},0.1,0.9" for name, first in names]
    (tmp_path / "scores.csv").write_text("\n".join(["image_id,dark,bright", *lines]))
    with pytest.warns(UserWarning, match="No independent teacher knows these classes"):
        done = ml.run(
            f"dark={dark},bright={bright}", tmp_path / "run", scores=tmp_path / "scores.csv",
            recipe=TINY, seeds=2, ceiling_seeds=0, home=tmp_path,
        )  # fmt: skip
    assert done.verdict is not None
    assert (done.verdict.level, done.verdict.estimate) == ("doubtful", None)
    assert done.results["student_accuracy"].tolist() == [1, 1]
    assert len(done.recalls) == 2 * 2 * 2
    assert {"majority class"} <= set(done.baselines["baseline"])
    assert len(done.timings) == 2
    assert len(done.diagnostics) == 1
    assert done.student.classes_.tolist() == ["dark", "bright"]
    assert Path(done.report).exists()
