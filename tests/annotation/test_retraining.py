import numpy as np
import pytest
from support_annotations import annotate_folder

from medlabel.annotation.answers import Answers
from medlabel.annotation.retraining import FOLDS, AnswerImpact, folds_of, make_training_set
from medlabel.errors import MedlabelError
from medlabel.reports.retraining_report import report_retraining
from medlabel.storage.store import Store
from medlabel.student.human_labels import UNLABELED


@pytest.fixture
def store(tmp_path):
    return annotate_folder(tmp_path, count=30, twins=2)


def answers_of(tmp_path, chests=10, neither=2):
    """Answers about the first images, in their order."""
    names = ["chest"] * chests + ["neither"] * neither
    scans = tmp_path / "scans"
    return Answers({f"{scans}/{number:02}.png": name for number, name in enumerate(names)})


def test_a_pool_has_all_answers_others_at_random_and_none_of_no_class(store, tmp_path):
    training_set = make_training_set(store, answers_of(tmp_path), most=8, weight=5, seed=0)
    assert training_set.images.shape == (12 + 8, 28, 28)  # two of the answered images have a copy
    assert (training_set.human_labels.labels == 0).sum() == 12
    assert (training_set.human_labels.labels == UNLABELED).sum() == 8
    np.testing.assert_allclose(training_set.scores.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        training_set.scores, training_set.bundle.predict(training_set.images), atol=1e-6
    )
    assert training_set.facts["answers"] == {"chest": 10, "neither": 2}  # copies once
    assert training_set.sentences() == ["12 images have an answer: chest 10, neither 2."]
    again = make_training_set(store, answers_of(tmp_path), most=8, weight=5, seed=0)
    np.testing.assert_array_equal(again.images, training_set.images)


def test_a_class_called_neither_is_a_class(tmp_path, monkeypatch):
    monkeypatch.setattr("support_annotations.CLASSES", ["neither", "None"])
    store = annotate_folder(tmp_path, count=30)
    words = ["neither"] * 8 + ["none"] * 4 + ["Unsure"] * 2
    uris = [f"{tmp_path}/scans/{number:02}.png" for number in range(len(words))]
    answers = Answers(dict(zip(uris, words, strict=True)))
    training_set = make_training_set(store, answers, most=8, weight=5, seed=0)
    assert training_set.of_no_class == 2
    assert training_set.facts["answers"] == {"neither": 8, "None": 4, "unsure": 2}


def test_no_fold_shares_a_copy_of_an_image_with_another(store, tmp_path):
    training_set = make_training_set(store, answers_of(tmp_path), most=8, weight=5, seed=0)
    folds = folds_of(training_set, seed=0)
    assert len(folds) == FOLDS
    assert sorted(np.concatenate(folds)) == np.flatnonzero(training_set.human_labels.known).tolist()
    seen = [set(training_set.digests[fold]) for fold in folds]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 10


def test_too_few_answers_and_images_that_have_changed_are_reported(store, tmp_path):
    with pytest.raises(MedlabelError, match=r"a class for 4 images .* at least 10 are needed"):
        make_training_set(store, answers_of(tmp_path, chests=4), most=8, weight=5, seed=0)
    (tmp_path / "scans" / "03.png").write_bytes(b"other")
    with pytest.raises(MedlabelError, match=r"03\.png has changed since it was labelled"):
        make_training_set(store, answers_of(tmp_path), most=8, weight=5, seed=0)
    (tmp_path / "scans" / "03.png").unlink()
    with pytest.raises(MedlabelError, match=r"03\.png cannot be read any more .* --prune"):
        make_training_set(store, answers_of(tmp_path), most=8, weight=5, seed=0)


def test_the_impact_of_answers_is_counted_in_pairs(tmp_path):
    people = np.array([0, 0, 1, 1, 1, 1])
    without, learned = np.array([0, 1, 0, 0, 0, 1]), np.array([1, 0, 1, 1, 0, 1])
    impact = AnswerImpact.of(people, without, without, learned)
    assert impact == AnswerImpact(6, before=2, without=2, learned=4, fixed=3, broken=1)
    assert impact.p_value == pytest.approx(10 / 16)
    assert "4 of 6 (66.7%) after training with the other answers" in " ".join(impact.sentences())
    assert AnswerImpact.of(people, people, people, people).p_value == 1
    assert impact.warnings() == ()
    with open(report_retraining(Store(str(tmp_path)), impact, {"name": "<b>"}, ["9 left"])) as file:
        page = file.read()
    assert "4 of 6" in page
    assert "9 left" in page
    assert "<b>" not in page


def test_a_next_student_that_is_worse_than_the_last_one_has_a_warning_that_comes_first(tmp_path):
    impact = AnswerImpact(40, before=38, without=30, learned=31, fixed=4, broken=3)
    (warning,) = impact.warnings()
    assert "worse than the last one: it agrees with 31 of 40 answers" in warning
    assert "the last student with 38" in warning
    assert impact.sentences()[0] == warning
    with open(report_retraining(Store(str(tmp_path)), impact, {}, [])) as file:
        assert "Keep the last student" in file.read()
