import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from medlabel.annotation.table import Origin
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.student.bundle import (
    load_bundle,
    pixels_version,
    publish_bundle,
    read_provenance,
    save_bundle,
)
from medlabel.student.calibration import calibrate
from medlabel.student.decision import review_reasons
from medlabel.student.fit import predict_proba
from medlabel.student.networks import STUDENTS, Student, backbones, without_pretrained_weights
from medlabel.student.verdict import AccuracyEstimate, Evidence, Verdict
from medlabel.versions import PREPROCESSING

BUNDLES = Path(__file__).parents[1] / "bundles"


def _student(name="small", channels=1):
    torch.manual_seed(0)
    return Student(name, channels, ["chest", "breast"], 28, members=2).eval()


def _images(channels, n=5):
    shape = (n, 28, 28) if channels == 1 else (n, 28, 28, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    save_bundle(Store(str(tmp_path)), _student(), {"bundle_id": "b1", "seed": 3})
    return tmp_path


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_loaded_student_gives_the_same_probabilities(tmp_path, name, channels):
    student, images = _student(name, channels), _images(channels)
    save_bundle(Store(str(tmp_path)), student, {"bundle_id": "b1"})
    np.testing.assert_array_equal(
        load_bundle(str(tmp_path)).predict(images), predict_proba(student, images)
    )


def test_bundle_says_what_it_is(folder):
    bundle = load_bundle(str(folder))
    assert (bundle.id, bundle.classes, bundle.size) == ("b1", ("chest", "breast"), 28)
    assert bundle.provenance["seed"] == 3
    card = (folder / "README.md").read_text()
    assert "Not for clinical use" in card
    assert '"seed": 3' in card


def test_student_does_not_train_on_after_loading(folder):
    assert not load_bundle(str(folder)).student.training


def test_bundle_of_a_pretrained_student_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "download_weights", lambda name: pytest.fail("downloaded"))
    with without_pretrained_weights():
        student = Student("resnet18+pretrained", 1, ["chest", "breast"]).eval()
    save_bundle(Store(str(tmp_path)), student, {"bundle_id": "b1"})
    loaded = load_bundle(str(tmp_path))
    assert loaded.student.architecture == "resnet18+pretrained"
    np.testing.assert_array_equal(loaded.predict(_images(1)), predict_proba(student, _images(1)))


@pytest.mark.parametrize("architecture", [5, None, ["small"], "cnn:1e9", "gone"])
def test_architecture_that_is_none_is_one_line(folder, architecture):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architecture": architecture}))
    with pytest.raises(MedlabelError) as raised:
        load_bundle(str(folder))
    assert "\n" not in str(raised.value)


def test_bundle_goes_through_a_bucket():
    save_bundle(Store("memory://bundles/b1"), _student(), {"bundle_id": "b1"})
    assert load_bundle("memory://bundles/b1").id == "b1"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_any_picture_becomes_what_the_student_learned_on(tmp_path, channels, shape):
    save_bundle(Store(str(tmp_path)), _student(channels=channels), {})
    prepared = load_bundle(str(tmp_path)).square(np.zeros(shape, np.uint8))
    assert prepared.shape == ((28, 28) if channels == 1 else (28, 28, 3))
    assert prepared.dtype == np.uint8
    assert prepared.flags.writeable  # torch warns otherwise


def test_picture_of_the_right_size_is_left_as_it_is(folder):
    image = _images(1)[0]
    np.testing.assert_array_equal(load_bundle(str(folder)).square(image), image)


def test_centre_of_a_wide_picture_is_what_counts(folder):
    wide = np.zeros((28, 84), np.uint8)
    wide[:, 28:56] = _images(1)[0]
    prepared = load_bundle(str(folder)).square(wide)
    np.testing.assert_array_equal(prepared, _images(1)[0])


def test_folder_without_a_bundle_is_one_line(tmp_path):
    with pytest.raises(MedlabelError, match=r"is not a bundle: it has no config\.json"):
        load_bundle(str(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "provenance.json"])
def test_missing_file_is_one_line(folder, name):
    (folder / name).unlink()
    with pytest.raises(MedlabelError, match=f"cannot read .*{name}"):
        load_bundle(str(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "provenance.json"])
@pytest.mark.parametrize("damage", [b"", b"junk", b"[1]"])
def test_damaged_file_is_one_line(folder, name, damage):
    (folder / name).write_bytes(damage)
    with pytest.raises(MedlabelError) as raised:
        load_bundle(str(folder))
    assert "\n" not in str(raised.value)


def test_truncated_weights_are_one_line(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(MedlabelError, match="damaged bundle"):
        load_bundle(str(folder))


def test_weights_with_a_layer_left_out_are_not_taken(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights[max(weights)]
    save_file(weights, path)
    with pytest.raises(MedlabelError, match="damaged bundle"):
        load_bundle(str(folder))


@pytest.mark.parametrize(
    "change", [{"architecture": "paper"}, {"channels": 3}, {"classes": ["a", "b", "c"]}]
)
def test_weights_of_another_student_are_not_taken(folder, change):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(MedlabelError, match="damaged bundle"):
        load_bundle(str(folder))


@pytest.fixture
def calibrated(tmp_path):
    wanted = np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    calibration = calibrate(_student(), _images(1, 40), wanted)
    save_bundle(Store(str(tmp_path)), _student(), {"bundle_id": "b1"}, calibration)
    return tmp_path


def test_calibration_comes_back_whole(calibrated):
    bundle, wanted = load_bundle(str(calibrated)), np.eye(2, dtype=np.float32)[np.arange(40) % 2]
    fresh = calibrate(_student(), _images(1, 40), wanted)
    assert bundle.calibration.temperature == pytest.approx(fresh.temperature)
    assessment = bundle.assess(_images(1, 40))
    assert assessment.calibrated
    assert (assessment.ood_score <= 1.01).mean() > 0.9
    np.testing.assert_array_equal(bundle.predict(_images(1, 40)), assessment.probabilities)


def test_older_bundle_loads_and_says_that_it_cannot_tell(folder):
    assessment = load_bundle(str(folder)).assess(_images(1))
    assert not assessment.calibrated
    assert np.isnan(assessment.ood_score).all()


@pytest.mark.parametrize("damage", [b"", b"junk"])
def test_calibration_of_another_student_is_not_taken(calibrated, damage):
    (calibrated / "calibration.safetensors").write_bytes(damage)
    with pytest.raises(MedlabelError, match="calibration has another digest"):
        load_bundle(str(calibrated))


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        (
            {"preprocessing": PREPROCESSING - 1},
            f"learned from version {PREPROCESSING - 1} of pixels",
        ),
        (
            {"preprocessing": PREPROCESSING + 1},
            f"learned from version {PREPROCESSING + 1} of pixels",
        ),
        ({"training": 1}, "does not say from which version of pixels"),
        (None, "does not say from which version of pixels"),
        ("junk", "does not say from which version of pixels"),
    ],
)
def test_a_student_of_other_pixels_is_refused_with_what_to_do(folder, numbers, reason):
    facts = read_provenance(str(folder)) | {"code_versions": numbers}
    (folder / "provenance.json").write_text(json.dumps(facts))
    with pytest.raises(MedlabelError, match=reason) as refused:
        load_bundle(str(folder))
    assert "train it again, with the same command" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_a_bundle_of_other_pixels_says_can_still_be_read(folder):
    """The report of a run needs no more, and can be rebuilt."""
    facts = read_provenance(str(folder)) | {"code_versions": {"preprocessing": 1}}
    (folder / "provenance.json").write_text(json.dumps(facts))
    assert read_provenance(str(folder))["seed"] == 3


def test_a_bundle_states_the_pixels_that_it_learned_from(folder):
    assert pixels_version(load_bundle(str(folder)).provenance) == PREPROCESSING
    assert f"version {PREPROCESSING} of pixels" in (folder / "README.md").read_text()


@pytest.fixture
def old() -> Path:
    """A bundle of a `medlabel run` before recipe fields and packages had their present names.

    The version of pixels was added to it: without it the bundle would be refused.
    """
    return BUNDLES / "before-0.2"


def test_a_bundle_of_the_old_code_gives_the_probabilities_that_it_gave_there(old):
    expected = json.loads((BUNDLES / "before-0.2.json").read_text())
    noise = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    ramps = np.linspace(0, 255, 4 * 28 * 28).reshape(4, 28, 28).astype(np.uint8)
    bundle = load_bundle(str(old))
    assessment = bundle.assess(np.concatenate([noise, ramps]))
    np.testing.assert_allclose(assessment.probabilities, expected["probabilities"], rtol=1e-5)
    np.testing.assert_allclose(assessment.ood_score, expected["ood_score"], rtol=1e-5)
    assert assessment.calibrated
    assert bundle.verdict is None
    assert not assessment.guessing
    assert bundle.classes == ("malignant", "benign")


def test_a_bundle_of_the_old_code_says_where_its_annotations_come_from(old):
    bundle = load_bundle(str(old))
    assert {"settle", "members", "rounds", "top", "steps"} < set(bundle.provenance["recipe"])
    origin = Origin.of(bundle.id, bundle.provenance, 0.9, "", "")
    assert (origin.recipe, origin.teacher, origin.seed) == ("robust", "phantom", 0)
    assert len(origin.captions) == 32
    assert origin.weights == bundle.provenance["sha256"]


def _reasons(bundle, auto_above=0.0):
    return review_reasons(bundle.assess(_images(1, 40)), auto_above)


def _published(calibrated, verdict=None, warnings=()):
    to = Store(str(calibrated.parent / f"{calibrated.name}-published"))
    publish_bundle(Store(str(calibrated)), to, warnings, verdict)
    return load_bundle(to.uri)


@pytest.mark.parametrize("level", ["read", "doubtful", "guessing"])
def test_a_bundle_keeps_its_verdict(calibrated, level):
    verdict = Verdict(
        level,
        "One word is unknown.",
        (Evidence("unknown_words", "guessing", "It never learned 'hand'.", 1.0, "hand"),),
        ("Give captions.",),
        AccuracyEstimate(0.7, 0.6, 0.8),
        auto_above=0.97,
    )
    assert _published(calibrated, verdict).verdict == verdict


def test_decisions_follow_the_verdict(calibrated):
    usual = _reasons(load_bundle(str(calibrated)))
    assert ("guessing",) not in usual
    assert _reasons(_published(calibrated, Verdict("read", "It read them."))) == usual
    guessing = _reasons(_published(calibrated, Verdict("guessing", "It was guessing.")))
    assert all("guessing" in reasons for reasons in guessing)
    doubtful = _published(calibrated, Verdict("doubtful", "Partly.", auto_above=0.6))
    sure = doubtful.assess(_images(1, 40)).confidence >= np.float32(0.6)
    assert [("doubtful" in reasons) for reasons in _reasons(doubtful)] == (~sure).tolist()


def test_a_doubtful_verdict_without_a_level_supports_no_label(calibrated):
    doubtful = _published(calibrated, Verdict("doubtful", "Partly."))
    assert all("doubtful" in reasons for reasons in _reasons(doubtful))


def test_a_verdict_overrules_the_warnings_of_the_run(calibrated):
    bundle = _published(calibrated, Verdict("read", "It read them."), ["looks undecidable"])
    assert bundle.warnings == ("looks undecidable",)
    assert not bundle.assess(_images(1)).guessing


def test_warnings_of_a_bundle_from_before_verdicts_count_as_guessing(calibrated):
    bundle = _published(calibrated, warnings=["This task looks undecidable."])
    assert bundle.verdict.level == "guessing"
    assert bundle.verdict.evidence[0].sentence == "This task looks undecidable."
    assert all("guessing" in reasons for reasons in _reasons(bundle))


@pytest.mark.parametrize(
    "damage",
    [
        "guessing",
        ["guessing"],
        {},
        {"level": "sure", "summary": "x"},
        {"level": "guessing"},
        {"level": "doubtful", "summary": "x", "auto_above": "high"},
        {"level": "doubtful", "summary": "x", "auto_above": 95},
        {"level": "guessing", "summary": "x", "evidence": [{"sentence": "y"}]},
        {"level": "guessing", "summary": "x", "evidence": 3},
    ],
)
def test_damaged_verdict_is_one_line(folder, damage):
    facts = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps(facts | {"verdict": damage}))
    with pytest.raises(MedlabelError, match="damaged bundle: its verdict cannot be read"):
        load_bundle(str(folder))
