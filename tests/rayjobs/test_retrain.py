import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support_annotations import CLASSES, annotate_folder
from support_verdicts import GUESSING

from medlabel.annotation.table import MANIFEST
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle
from medlabel.student.recipes import RECIPES
from rayjobs.retrain import RetrainConfig, retrain

QUICK = replace(RECIPES["adam"], epochs=1)


@pytest.fixture
def config(tmp_path):
    """Annotations of thirty images, twelve of them answered."""
    store = annotate_folder(tmp_path, count=30)
    rows = [(f"{tmp_path}/scans/{n:02}.png", ("chest", "breast")[n % 2]) for n in range(12)]
    answers = tmp_path / "answers.csv"
    with answers.open("w", newline="") as file:
        csv.writer(file).writerows([("uri", "answer"), *rows])
    return RetrainConfig(store.uri, (answers,), str(tmp_path / "next"), QUICK, pool=15)


@pytest.mark.usefixtures("ray_cluster")
def test_answers_become_a_student_whose_bundle_says_so(config, tmp_path):
    last = Store(config.annotations).read_json(MANIFEST)["asked"][-1]["bundle"]
    provenance = Store(last).read_json("provenance.json")
    Store(last).write_json("provenance.json", provenance | {"warnings": ["it looks undecidable"]})
    done = retrain(config)
    bundle = load_bundle(done.bundle)
    assert bundle.warnings == (*done.impact.warnings(), "it looks undecidable")
    assert bundle.verdict.level == "guessing"
    assert bundle.verdict == done.verdict  # twelve answers are too few for another
    assert bundle.learned_from == "real"
    assert bundle.classes == ("chest", "breast")
    human_labels = bundle.provenance["human_labels"]
    assert (human_labels["answers"], human_labels["weight"]) == ({"breast": 6, "chest": 6}, 5.0)
    assert bundle.provenance["teacher"]["name"] == "annotations by b1"
    assert "12 answers of people" in (tmp_path / "next" / "bundle" / "README.md").read_text()
    assert done.impact.answers == 12
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "next").rglob("cell.json"))
    assert len(before) == 1 + 3 + 3
    assert retrain(config) == done
    after = sorted(path.stat().st_mtime_ns for path in (tmp_path / "next").rglob("cell.json"))
    assert before == after
    with pytest.raises(MedlabelError, match=r"another student .different key"):
        retrain(replace(config, weight=2.0))


@pytest.mark.usefixtures("ray_cluster")
def test_answers_turn_a_guessing_student_into_a_usable_one(tmp_path):
    """The cure of a collapsed folder; the bright images are chests, and the dark ones breasts."""
    store = annotate_folder(tmp_path, count=60, verdict=GUESSING.to_json(), two_levels=True)
    answers = tmp_path / "answers.csv"
    with answers.open("w", newline="") as file:
        rows = [(f"{tmp_path}/scans/{n:02}.png", CLASSES[n % 2]) for n in range(60)]
        csv.writer(file).writerows([("uri", "answer"), *rows])
    quick = replace(RECIPES["adam"], epochs=40, student="cnn:4", learning_rate=0.02)
    config = RetrainConfig(store.uri, (answers,), str(tmp_path / "next"), quick, pool=15)
    done = retrain(config)
    bundle = load_bundle(done.bundle)
    assert bundle.verdict == done.verdict
    assert done.verdict.level == "read"
    assert done.verdict.estimate.accuracy == done.impact.learned / 60
    assert "People's answers confirm" in Path(done.page).read_text().replace("&#39;", "'")
    assert "no true label was used" not in Path(done.page).read_text()
    images = np.stack([bundle.square(np.full((30, 40), level, np.uint8)) for level in (60, 180)])
    assert not bundle.assess(images).guessing


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"weight": 0}, "weight 0: give a number above 0"), ({"pool": 15}, "at least 10")],
)
def test_options_that_cannot_work_are_refused_before_the_work(config, changed, message):
    (path,) = config.answers
    path.write_text("uri,answer\n")
    with pytest.raises(MedlabelError, match=message):
        retrain(replace(config, **changed))


def test_the_next_student_does_not_take_the_last_ones_place(config):
    with pytest.raises(MedlabelError, match="name another folder"):
        retrain(replace(config, out=config.annotations + "/"))
