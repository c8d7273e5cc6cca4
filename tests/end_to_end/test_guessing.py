"""A student whose teacher was guessing: nothing that uses it accepts a label, and all say why."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from service_client import ServiceClient, png
from support_verdicts import DOUBTFUL, GUESSING

import medlabel as ml
from medlabel.cli.annotate import _print_result
from medlabel.storage.store import Store
from medlabel.student.recipes import Recipe
from rayjobs.annotate import AnnotateConfig, annotate_sources

TINY = Recipe("tiny", "cnn:4", "adam", learning_rate=0.05, epochs=20)
LEVEL = 0.98


@pytest.fixture(scope="module")
def images():
    """Twenty dark images, twenty bright ones and twenty between, whose labels are less sure."""
    rng = np.random.default_rng(0)
    levels = np.repeat([60, 170, 115], 20)[:, None, None]
    return rng.normal(levels, 15, (60, 12, 12)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def student(images):
    return ml.Student(TINY, size=12).fit(images[:40], np.repeat(["dark", "light"], 20))


@pytest.fixture
def use(student, images, tmp_path):
    """Annotates the images in a folder, and by HTTP, with a student of some verdict."""

    def use(verdict):
        student.verdict = verdict
        model, scans = tmp_path / "bundle", tmp_path / "scans"
        student.save_pretrained(model)
        scans.mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(scans / f"{number:02}.png")
        out = tmp_path / "out"
        done = annotate_sources(AnnotateConfig((str(scans),), str(model), str(out), 0.0))
        rows = pd.read_parquet(out / "annotations").sort_values("uri", ignore_index=True)
        client = ServiceClient(tmp_path / "state", bundles=[str(model)], auto_above=0.0)
        files = [(str(number), png(image)) for number, image in enumerate(images)]
        answer = client.post(*files).raise_for_status().json()
        client.service.close()
        reasons = [",".join(one["review_reasons"]) for one in answer["results"]]
        assert rows["review_reasons"].tolist() == reasons
        return done, rows, answer

    return use


@pytest.mark.usefixtures("ray_cluster")
def test_with_a_guessing_student_everything_is_for_review_and_everything_says_why(
    use, tmp_path, capsys
):
    done, rows, answer = use(GUESSING)
    assert set(rows["decision"]) == {"review"}
    assert rows["review_reasons"].str.contains("guessing").all()
    assert set(rows["verdict"]) == {"guessing"}
    decisions = Store(str(tmp_path / "out")).read_json("annotate.json")["decisions"]
    assert (decisions["auto"], decisions["review_reasons"]["guessing"]) == (0, 60)
    assert {one["decision"] for one in answer["results"]} == {"review"}
    capsys.readouterr()
    _print_result(done)
    printed = " ".join(capsys.readouterr().out.split())
    page = (tmp_path / "out/summary/index.html").read_text()
    for words in (
        "The teacher has never learned the word",
        "The teacher never learned it.",
        "Every label is sent to review",
        *GUESSING.advice,
    ):
        assert words in printed
        assert words in page
    assert answer["verdict"]["summary"] == GUESSING.summary
    assert answer["verdict"]["advice"] == list(GUESSING.advice)


@pytest.mark.usefixtures("ray_cluster")
def test_with_a_doubtful_student_labels_are_accepted_only_above_its_level(use):
    _, rows, answer = use(replace(DOUBTFUL, auto_above=LEVEL))
    above = rows["confidence"] >= np.float32(LEVEL)
    assert 0 < above.sum() < len(rows)
    assert (rows["review_reasons"].str.contains("doubtful") == ~above).all()
    assert (rows["decision"][~above] == "review").all()
    assert (rows["decision"][above] == "auto").any()
    assert answer["verdict"]["auto_above"] == LEVEL
