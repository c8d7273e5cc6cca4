"""What the API says about the worth of labels, and that decisions follow it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from service_client import picture, png, write_bundle
from support_verdicts import DOUBTFUL, GUESSING, READ

from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.calibration import calibrate
from medlabel.student.fit import predict_proba
from serving.schemas import Answer, Model

IMAGES = np.stack([picture(n, (28, 28)) for n in range(40)])
DRAWN = "This student learned from drawn images; it has never seen a real one."


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A calibrated student, as `save_bundle` takes it."""
    student = load_bundle(write_bundle(tmp_path_factory.mktemp("plain"))).student
    wanted = np.eye(2, dtype=np.float32)[predict_proba(student, IMAGES).argmax(axis=1)]
    return student, calibrate(student, IMAGES, wanted)


@pytest.fixture
def make(make_client, student, tmp_path):
    """A service of a student with some facts in its provenance."""

    def make(**facts):
        network, calibration = student
        facts = {"bundle_id": "b", **facts}
        save_bundle(Store(str(tmp_path / "b")), network, facts, calibration)
        return make_client(bundles=[str(tmp_path / "b")])

    return make


def ask(client, auto_above=0.0):
    files = [(f"{n}.png", png(image)) for n, image in enumerate(IMAGES)]
    answer = client.post(*files, path=f"/annotate?auto_above={auto_above}").raise_for_status()
    Answer.model_validate(answer.json())
    return answer.json()


def test_a_guessing_student_sends_everything_to_review_and_says_why(make):
    client = make(verdict=GUESSING.to_json())
    answer = ask(client)
    assert {one["decision"] for one in answer["results"]} == {"review"}
    assert all("guessing" in one["review_reasons"] for one in answer["results"])
    assert answer["verdict"] == {
        "level": "guessing",
        "summary": GUESSING.summary,
        "review": "Every label is sent to review: none is accepted without a person.",
        "advice": list(GUESSING.advice),
        "auto_above": None,
    }
    (file,) = client.folder.glob("audit-*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert all("guessing" in line["review_reasons"] for line in lines)


def test_warnings_of_older_versions_count_as_guessing(make):
    answer = ask(make(warnings=["This task looks undecidable."]))
    assert all("guessing" in one["review_reasons"] for one in answer["results"])
    assert answer["verdict"]["level"] == "guessing"


def test_a_doubtful_student_labels_only_above_its_level(make):
    confidence = np.array([one["confidence"] for one in ask(make())["results"]])
    level = float(np.median(confidence))
    answer = ask(make(verdict=replace(DOUBTFUL, auto_above=level).to_json()))
    doubtful = np.array(["doubtful" in one["review_reasons"] for one in answer["results"]])
    np.testing.assert_array_equal(doubtful, confidence < level)
    assert 0 < doubtful.sum() < len(doubtful)
    assert all(one["decision"] == "review" for one in np.array(answer["results"])[doubtful])
    assert any(one["decision"] == "auto" for one in answer["results"])
    assert answer["verdict"]["auto_above"] == level


def test_a_student_that_read_its_images_decides_as_one_without_a_verdict(make):
    without, read = ask(make(), 0.6), ask(make(verdict=READ.to_json()), 0.6)
    assert without["results"] == read["results"]
    assert (without["verdict"], read["verdict"]["level"]) == (None, "read")


def test_models_have_the_evidence_in_words(make):
    answer = make(verdict=GUESSING.to_json()).request("GET", "/models").json()
    (model,) = answer["models"]
    Model.model_validate(model)
    assert model["verdict"]["evidence"][0]["sentence"] == "The teacher never learned it."
    assert [one["image_id"] for one in model["verdict"]["examples"]] == ["a/1.png", "a/2.png"]
    assert model["verdict"]["accuracy"].startswith("The share of right labels cannot be estimated")


@pytest.mark.parametrize(
    ("facts", "learned_from", "notice"),
    [
        ({"learned_from": "drawn"}, "drawn", DRAWN),
        ({"task": {"classes": [{"source": "phantom:breastmnist"}] * 2}}, "drawn", DRAWN),
        ({"task": {"classes": [{"source": "breastmnist"}] * 2}}, "real", ""),
        ({}, None, ""),
    ],
)
def test_each_answer_says_whether_the_student_has_seen_real_images(
    make, facts, learned_from, notice
):
    client = make(**facts)
    for one in (ask(client), *client.request("GET", "/models").json()["models"]):
        assert (one["learned_from"], one["notice"]) == (learned_from, notice)


def test_the_example_in_the_documentation_is_an_answer():
    Answer.model_validate(Answer.model_json_schema()["example"])
