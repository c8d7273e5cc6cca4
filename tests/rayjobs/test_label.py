from dataclasses import replace

import pandas as pd
import pytest
import torch

from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle
from medlabel.student.recipes import get_recipe
from medlabel.student.verdict import Verdict
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, save_clip
from rayjobs import image_pipeline
from rayjobs import label as job


@pytest.fixture
def config(tmp_path, dark):
    return job.LabelConfig(
        sources=(str(dark),),
        classes=("chest", "breast"),
        out=str(tmp_path / "out"),
        home=tmp_path / "home",
        recipe=get_recipe("adam"),
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": ("chest",)}, "two classes or more"),
        ({"classes": ("chest", "chest")}, "two classes or more"),
        ({"classes": ("chest", "CXR")}, "mean the same"),
        ({"classes": ("chest", "pneumonia")}, "pneumonia=pneumoniamnist"),
        ({"classes": ("chest", "row")}, "may not be named 'row'"),
        ({"captions": "none"}, "unknown captions 'none'"),
        ({"auto_above": 95}, "give a probability between 0 and 1"),
    ],
)
def test_options_that_cannot_work_are_refused_before_the_work(tmp_path, config, changed, message):
    with pytest.raises(MedlabelError, match=message):
        job.label_sources(replace(config, **changed))
    assert not (tmp_path / "out").exists()


def test_a_folder_keeps_its_classes(tmp_path, config):
    store = Store(str(tmp_path / "out"))
    job._claim(store, config)
    job._claim(store, replace(config, auto_above=0.5))
    with pytest.raises(MedlabelError, match="different classes, seed"):
        job._claim(store, replace(config, classes=("chest", "knee"), seed=1))


def test_a_folder_keeps_what_the_teacher_reads(tmp_path, config):
    store = Store(str(tmp_path / "out"))
    config = replace(config, classes=("pneumonia", "Well=normal"))
    assert config.class_names == ("pneumonia", "Well")
    job._claim(store, config)
    manifest = store.read_json("label.json")
    assert set(manifest["teacher_reads"]) == {"pneumonia", "Well"}
    assert manifest["teacher_reads"]["Well"][0] == "a chest X-ray of a healthy adult, no finding"
    store.write_json("label.json", {**manifest, "teacher_reads": {"pneumonia": [], "Well": []}})
    with pytest.raises(MedlabelError, match="the captions of pneumonia, Well have changed"):
        job._claim(store, config)


def test_a_folder_keeps_the_content_of_files_wherever_they_are(tmp_path, config):
    store, files = Store(str(tmp_path / "out")), [tmp_path / "a", tmp_path / "b"]
    for folder in files:
        folder.mkdir()
        (folder / "caps.yaml").write_text("chest: [a film]\nbreast: [a sonogram]\n")
        (folder / "clip.pt").write_bytes(b"weights")
    first, moved = (
        replace(config, captions=f"{at}/caps.yaml,table", clip=f"ViT-B-32:{at}/clip.pt")
        for at in files
    )
    job._claim(store, first)
    job._claim(store, moved)
    (files[1] / "clip.pt").write_bytes(b"other weights")
    with pytest.raises(MedlabelError, match="different clip_sha256"):
        job._claim(store, moved)
    (files[0] / "caps.yaml").write_text("chest: [a sonogram]\nbreast: [a film]\n")
    with pytest.raises(MedlabelError, match="the captions of chest, breast have changed since"):
        job._claim(store, first)
    with pytest.raises(MedlabelError, match="different captions, clip"):
        job._claim(store, replace(moved, captions="paper", clip="RN50"))


def test_a_folder_of_before_captions_were_kept_goes_on(tmp_path, config):
    store = Store(str(tmp_path / "out"))
    job._claim(store, config)
    before = store.read_json("label.json")
    reads = before.pop("teacher_reads")
    del before["clip_sha256"]
    store.write_json("label.json", before)
    store.write("bundle/config.json", b"{}")
    job._claim(store, config)
    assert store.read_json("label.json") == before  # its student may have learned from others
    (tmp_path / "out" / "bundle" / "config.json").unlink()
    job._claim(store, config)
    assert store.read_json("label.json")["teacher_reads"] == reads


def test_another_command_s_folder_is_refused_and_a_wrong_source_leaves_nothing(tmp_path, config):
    with pytest.raises(MedlabelError, match="no such file"):
        job.label_sources(replace(config, sources=(str(tmp_path / "gone.npz"),)))
    assert not (tmp_path / "out").exists()
    store = Store(str(tmp_path / "out"))
    store.write("bundle/config.json", b"{}")
    with pytest.raises(MedlabelError, match="a student already: choose another --out"):
        job.label_sources(replace(config, classes=("hand", "foot")))
    store.write_json("run.json", {})
    with pytest.raises(MedlabelError, match="holds a run: choose another --out"):
        job.label_sources(config)


@pytest.mark.usefixtures("ray_cluster")
def test_sources_are_listed_once_and_a_job_goes_on_where_it_was_stopped(
    tmp_path, config, monkeypatch
):
    torch.manual_seed(0)
    save_clip(build_clip(PretrainingConfig()), tmp_path / "clip")
    recipe = replace(config.recipe, epochs=1)
    config = replace(config, clip=str(tmp_path / "clip"), recipe=recipe, pool=40)
    listed, list_all = [], image_pipeline.list_all_parts
    monkeypatch.setattr(
        image_pipeline, "list_all_parts", lambda *args: listed.extend(args[0]) or list_all(*args)
    )
    out, home = tmp_path / "out", tmp_path / "home"

    def shards():
        return {path: path.stat().st_mtime_ns for path in home.rglob("embeddings/**/shard-*")}

    def stop(*_, **__):
        raise MedlabelError("stopped")

    with monkeypatch.context() as stopped:
        stopped.setattr(job, "fit_cells", stop)
        with pytest.raises(MedlabelError, match="stopped"):
            job.label_sources(config)
    before = shards()
    assert len(before) > 0
    listed.clear()
    result = job.label_sources(config)
    assert listed == list(config.sources)
    assert shards() == before
    assert (result.labelled, result.summary.annotations) == (70, 70)
    page = (out / "summary" / "index.html").read_bytes()
    verdict = Verdict.from_json(Store(str(out)).read_json("verdict.json"))
    assert verdict.level != "read"  # a teacher with random weights, whom nothing confirms
    assert page.count(b"data:image/png") == 24 + len(verdict.examples)
    bundle = load_bundle(str(out / "bundle"))
    assert bundle.verdict is not None
    assert (bundle.verdict.level, bundle.verdict.examples) == (verdict.level, ())

    student = (out / "bundle" / "model.safetensors").stat().st_mtime_ns
    rows = pd.read_parquet(out / "annotations")
    min((out / "annotations").iterdir()).unlink()
    again = job.label_sources(config)
    assert 0 < again.labelled < 70
    assert (out / "bundle" / "model.safetensors").stat().st_mtime_ns == student
    pd.testing.assert_frame_equal(pd.read_parquet(out / "annotations"), rows)
    assert (out / "summary" / "index.html").read_bytes() == page
    assert not list(home.glob("catalogues"))
