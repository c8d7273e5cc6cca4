"""The student as a scikit-learn classifier of images."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import cross_val_predict
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data

import medlabel as ml
from medlabel.errors import MedlabelError
from medlabel.student.bundle import load_bundle
from medlabel.student.recipes import Recipe, get_recipe
from medlabel.student.trained import train_student
from medlabel.student.verdict import Verdict

TINY = Recipe("tiny", "cnn:4", "adam", learning_rate=0.05, epochs=20)


@pytest.fixture(scope="module")
def images():
    """Forty dark images and forty bright ones, 12 pixels a side."""
    rng = np.random.default_rng(0)
    levels = np.repeat([60, 170], 40)[:, None, None]
    return rng.normal(levels, 15, (80, 12, 12)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def labels():
    return np.repeat(["dark", "light"], 40)


@pytest.fixture(scope="module")
def student(images, labels):
    return ml.Student(TINY, size=12).fit(images, labels)


class Tables(ml.Student):
    """A student that draws each row of a table as an image, to be asked what tables are asked."""

    def fit(self, X, y, classes=None):
        X = validate_data(self, X, dtype=np.float64)
        self.low_, self.span_ = X.min(axis=0), np.maximum(np.ptp(X, axis=0), 1e-9)
        return super().fit(self._drawn(X), y, classes)

    def predict_proba(self, X):
        if not hasattr(self, "low_"):
            raise NotFittedError("fit first")
        return super().predict_proba(self._drawn(validate_data(self, X, reset=False)))

    def _drawn(self, X):
        shades = np.clip((X - self.low_) / self.span_, 0, 1)
        return np.stack([np.resize(np.round(255 * row), (8, 8)) for row in shades]).astype(np.uint8)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, False
        return tags


def test_scikit_learn_checks_it_as_a_classifier_of_images():
    with pytest.warns(SkipTestWarning, match="requires input"):  # all others are about tables
        outcomes = check_estimator(ml.Student(TINY, size=8), on_skip=None)
    assert {outcome["status"] for outcome in outcomes} == {"passed"}


@pytest.mark.filterwarnings("ignore")  # the checks give what estimators should warn of
def test_scikit_learn_s_checks_of_tables_pass_on_rows_drawn_as_images():
    """All of them; `check_array_api_input` skips itself without SCIPY_ARRAY_API."""
    outcomes = check_estimator(Tables(TINY, size=8), on_skip=None, expected_failed_checks={})
    passed = [one["check_name"] for one in outcomes if one["status"] == "passed"]
    others = {one["check_name"] for one in outcomes if one["status"] != "passed"}
    assert others == {"check_array_api_input"}
    assert len(passed) > 50
    assert "check_classifiers_train" in passed


def test_labels_are_learned(student, images, labels):
    assert student.score(images, labels) == 1
    assert student.classes_.tolist() == ["dark", "light"]
    proba = student.predict_proba(images)
    assert (proba.shape, proba.dtype) == ((80, 2), np.float32)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert set(student.history_["epoch"]) <= set(range(20))


def test_scores_are_learned_as_the_jobs_learn_them(images, one_thread):
    scores = np.random.default_rng(1).dirichlet([1, 1], 80).astype(np.float32)
    frame = pd.DataFrame(scores, columns=["dark", "light"])
    student = ml.Student(TINY, seed=3, size=12).fit(images, frame)
    other = train_student(images, scores, ("dark", "light"), TINY, 3)
    weights = student.bundle_.student.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in other.fit.student.state_dict().items())
    np.testing.assert_array_equal(student.bundle_.calibration.centres, other.calibration.centres)
    assert student.classes_.tolist() == ["dark", "light"]


def test_the_seed_decides_and_random_numbers_outside_do_not(images, labels):
    def chances(seed):
        return ml.Student(TINY, seed=seed, size=12).fit(images, labels).predict_proba(images)

    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    first = chances(0)
    assert torch.equal(torch.rand(1), before)
    assert np.array_equal(chances(0), first)
    assert not np.array_equal(chances(1), first)


def test_classes_are_named(images):
    proba = np.tile([0.7, 0.3], (80, 1))
    assert ml.Student(TINY, size=12).fit(images, proba).classes_.tolist() == [0, 1]
    named = ml.Student(TINY, size=12).fit(images, proba, classes=["b", "a"])
    assert named.classes_.tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("labels", "classes", "said"),
    [
        (["a"] * 79, None, "80 images, but labels of the shape"),
        (["a"] * 80, None, "labels of one class alone"),
        (["a", "b"] * 40, ["a", "c"], "label 'b' is none of the classes"),
        (np.full((80, 2), 0.4), None, "do not sum to one in each row, first in row 0"),
        (np.full((80, 2), np.nan), None, "contain NaN or infinity"),
        (np.tile([1.5, -0.5], (80, 1)), None, "are negative"),
        (np.full((80, 2), 0.5), ["a"], "give each its own name"),
        (np.full((80, 2), 0.5), ["a", "a"], "give each its own name"),
    ],
)
def test_labels_that_do_not_fit_are_a_value_error(images, labels, classes, said):
    with pytest.raises(ValueError, match=said):
        ml.Student(TINY, size=12).fit(images, labels, classes)


def test_what_cannot_be_learned_from_is_one_line(images, labels):
    with pytest.raises(ValueError, match="4 samples are too few"):
        ml.Student(TINY).fit(images[38:42], labels[38:42])
    with pytest.raises(MedlabelError, match="unknown recipe 'robst'"):
        ml.Student("robst").fit(images, labels)
    with pytest.raises(MedlabelError, match="unknown student 'smal'"):
        ml.Student(TINY, architecture="smal").fit(images, labels)
    with pytest.raises(ValueError, match="is a path: read it first"):
        ml.Student(TINY).fit("scans/", labels)
    with pytest.raises(NotFittedError):
        ml.Student(TINY).predict(images)


def test_an_image_unlike_the_training_images_goes_to_review(student, images):
    noise = np.random.default_rng(0).integers(0, 255, (5, 12, 12)).astype(np.uint8)
    stripes = np.tile(np.array([0, 255], np.uint8), (5, 12, 6))
    decided = student.decide([*images[:60], *noise, *stripes])
    assert list(decided) == ["label", "confidence", "decision", "review_reasons", "ood_score"]
    assert (decided["decision"][:60] == "auto").mean() > 0.8
    assert (decided["decision"] == "review").equals(decided["review_reasons"] != "")
    assert decided["review_reasons"][60:].str.contains("out_of_distribution").all()
    assert set(student.decide(images, auto_above=1)["decision"]) == {"review"}
    with pytest.raises(MedlabelError, match="give a probability"):
        student.decide(images, auto_above=95)


def test_images_of_other_sizes_and_in_colour_are_prepared(student, images):
    large = np.repeat(np.repeat(images[:3], 4, axis=1), 4, axis=2)
    colour = np.repeat(images[:3, ..., None], 3, axis=3)
    assert student.predict([*large, *colour]).tolist() == ["dark"] * 6
    assert np.array_equal(student.predict_proba(colour), student.predict_proba(images[:3]))


def test_a_bundle_gives_the_same_student(student, images, tmp_path):
    student.save_pretrained(tmp_path / "bundle")
    loaded = ml.Student.from_pretrained(tmp_path / "bundle")
    assert np.array_equal(loaded.predict_proba(images), student.predict_proba(images))
    assert loaded.decide(images).equals(student.decide(images))
    assert loaded.get_params() == student.get_params()
    assert load_bundle(str(tmp_path / "bundle")).id == student.bundle_.id
    assert ml.Student.from_pretrained(tmp_path).bundle_.id == student.bundle_.id  # as of a run


def test_decisions_follow_a_verdict_and_a_bundle_keeps_it(images, labels, tmp_path):
    student = ml.Student(TINY, size=12).fit(images, labels)
    assert student.verdict is None
    assert "auto" in set(student.decide(images)["decision"])
    student.verdict = Verdict("guessing", "The teacher was guessing.")
    student.save_pretrained(tmp_path)
    for one in (student, ml.Student.from_pretrained(tmp_path)):
        assert one.verdict == Verdict("guessing", "The teacher was guessing.")
        assert set(one.decide(images, auto_above=0)["review_reasons"]) == {"guessing"}
    student.verdict = None
    assert "auto" in set(student.decide(images)["decision"])
    with pytest.raises(NotFittedError):
        _ = ml.Student(TINY).verdict


def test_a_bundle_says_where_its_labels_come_from(images, tmp_path):
    proba = pd.DataFrame(np.tile([0.7, 0.3], (80, 1)), columns=["a", "b"])
    proba.attrs["teacher"] = {"name": "phantom", "model": "key", "captions": [("x",), ("y",)]}
    student = ml.Student(TINY, seed=2, size=12).fit(images, proba)
    facts = student.bundle_.provenance
    assert facts["teacher"] == {"name": "phantom", "model": "key", "captions": [["x"], ["y"]]}
    assert facts["recipe"]["name"] == "tiny"
    assert facts["bundle_id"] == f"{facts['key']}-seed-0002"
    other = ml.Student(TINY, seed=2, size=12).fit(images[::-1], proba)
    assert other.bundle_.provenance["key"] != facts["key"]


def test_scores_in_another_order_than_the_images_are_refused(images):
    named = ml.Images([*images])
    index = pd.Index(named.ids, name="image_id")
    proba = pd.DataFrame(np.tile([0.7, 0.3], (80, 1)), index=index, columns=["a", "b"])
    with pytest.raises(ValueError, match="in another order"):
        ml.Student(TINY, size=12).fit(named, proba[::-1])


def test_a_recipe_comes_back_by_its_name(images, labels, tmp_path):
    recipe = replace(get_recipe("adam"), epochs=1, student="cnn:4")
    student = ml.Student(recipe, size=12).fit(images, labels)
    student.save_pretrained(tmp_path)
    assert ml.Student.from_pretrained(tmp_path).recipe == recipe
    balanced = ml.Student(recipe, size=12, balanced=True).fit(images, labels)
    balanced.save_pretrained(tmp_path)
    assert ml.Student.from_pretrained(tmp_path).get_params()["balanced"]
    provenance = {**student.bundle_.provenance, "recipe": {"name": "robust", "settle": 4}}
    object.__setattr__(student.bundle_, "provenance", provenance)
    student.save_pretrained(tmp_path)
    assert ml.Student.from_pretrained(tmp_path).recipe == "robust"


@pytest.mark.parametrize("balanced", [True, False])
def test_a_loaded_student_is_trained_again_in_the_same_way(images, balanced, tmp_path):
    proba = np.random.default_rng(2).dirichlet([3, 1], 80).astype(np.float32)
    made = ml.Student("adam", 7, architecture="cnn:3", size=12, balanced=balanced)
    made.fit(images, proba).save_pretrained(tmp_path)
    loaded = ml.Student.from_pretrained(tmp_path)
    assert loaded.get_params() == made.get_params()
    again = clone(loaded).fit(images, proba)
    assert again.bundle_.id == made.bundle_.id
    assert np.array_equal(again.predict_proba(images), made.predict_proba(images))


def test_a_folder_without_a_bundle_is_one_line(tmp_path):
    with pytest.raises(MedlabelError, match="not a bundle"):
        ml.Student.from_pretrained(tmp_path)


def test_it_works_in_cross_validation(images, labels):
    student = ml.Student(TINY, size=12)
    assert (cross_val_predict(student, images, labels, cv=3) == labels).all()
    as_list = cross_val_predict(student, ml.Images(images), labels, cv=3, method="predict_proba")
    assert as_list.shape == (80, 2)
    proba = np.where(labels[:, None] == ["dark", "light"], 0.8, 0.2)
    order = np.random.default_rng(0).permutation(80)
    by_scores = cross_val_predict(student, images[order], proba[order], cv=3)
    assert (by_scores == proba[order].argmax(axis=1)).all()


def test_it_is_cloned_and_copied(student, images):
    assert not hasattr(clone(student), "bundle_")
    assert clone(student).set_params(seed=9).seed == 9
    copy = pickle.loads(pickle.dumps(student))
    assert np.array_equal(copy.predict_proba(images), student.predict_proba(images))


def test_a_bundle_of_before_the_python_api_is_a_student():
    old = Path(__file__).parents[1] / "bundles" / "before-0.2"
    student, images = ml.Student.from_pretrained(old), np.zeros((2, 28, 28), np.uint8)
    expected = load_bundle(str(old)).predict(images)
    assert np.array_equal(student.predict_proba(images), expected)
    assert len(student.decide(images)) == 2
    assert student.recipe == "robust"
    assert student.balanced


def test_an_old_bundle_keeps_its_recipe(tmp_path):
    """Its fields have other names; a refit must not train by another recipe."""
    shutil.copytree(Path(__file__).parents[1] / "bundles" / "before-0.2", tmp_path / "old")
    path = tmp_path / "old" / "provenance.json"
    facts = json.loads(path.read_text())
    facts["recipe"] |= {"name": "mine", "rounds": 1, "top": 7, "balanced": False}
    path.write_text(json.dumps(facts))
    student = ml.Student.from_pretrained(tmp_path / "old")
    changes = {"name": "mine", "self_training_rounds": 1, "top_k_per_class": 7, "balanced": False}
    assert student.recipe == replace(get_recipe("robust"), **changes)
    assert not student.balanced
