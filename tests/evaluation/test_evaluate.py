import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import medlabel as ml
from medlabel import phantoms
from medlabel.student.recipes import Recipe

mpl.use("Agg")
TINY = Recipe("tiny", "cnn:4", "adam", learning_rate=0.05, epochs=20)


@pytest.fixture(scope="module")
def images():
    levels = np.repeat([60, 170], 20)[:, None, None]
    return np.random.default_rng(0).normal(levels, 15, (40, 12, 12)).astype(np.uint8)


@pytest.fixture(scope="module")
def student(images):
    return ml.Student(TINY, size=12).fit(images, ["dark"] * 20 + ["light"] * 20)


def test_metrics_are_one_row(student, images):
    found = ml.evaluate(student, images, ["dark"] * 15 + ["light"] * 25)
    assert isinstance(found, pd.DataFrame)
    row = found.loc["student"]
    assert row["n"] == 40
    assert row["accuracy"] == pytest.approx(35 / 40)
    assert row["balanced_accuracy"] == pytest.approx((1 + 20 / 25) / 2)
    assert row["recall_dark"] == 1
    assert row["recall_light"] == pytest.approx(20 / 25)
    assert 0.8 < row["auc"] < 1
    assert found.confusion.to_numpy().tolist() == [[15, 0], [5, 20]]


def test_a_class_without_images_has_no_recall_and_no_auc(student, images):
    row = ml.evaluate(student, images[:10], ["dark"] * 10).iloc[0]
    assert row["accuracy"] == 1
    assert np.isnan(row[["auc", "recall_light"]].astype(float)).all()


def test_the_picture_is_the_confusion_matrix(student, images):
    import matplotlib.pyplot as plt

    axes = ml.evaluate(student, images, ["dark"] * 15 + ["light"] * 25).plot()
    texts = sorted(text.get_text() for text in axes.texts)
    assert texts == ["0", "15", "20", "5"]
    assert axes.get_ylabel() == "true class"
    plt.close(axes.figure)


def test_a_teacher_is_asked_for_classes(small_teacher):
    teacher = ml.Teacher.from_pretrained("phantom", home=small_teacher)
    drawn = [*phantoms.draw("chestmnist", 20, 7), *phantoms.draw("breastmnist", 20, 7)]
    labels = ["chest"] * 20 + ["breast"] * 20
    found = ml.evaluate(teacher, drawn, labels, ["breast", "chest"])
    assert found.index.tolist() == ["phantom"]
    assert found["accuracy"].iloc[0] > 0.8
    swapped = {"breast": ["a chest X-ray"], "chest": ["an ultrasound image of the breast"]}
    other = ml.evaluate(teacher, drawn, labels, ["breast", "chest"], captions=swapped)
    assert other["accuracy"].iloc[0] < 0.5
    with pytest.raises(ValueError, match="no classes of its own"):
        ml.evaluate(teacher, drawn, labels)


def test_labels_that_do_not_fit_are_a_value_error(student, images):
    with pytest.raises(ValueError, match="label 'drak' is none of the classes"):
        ml.evaluate(student, images, ["drak"] * 40)
    with pytest.raises(ValueError, match="40 images, but labels of the shape"):
        ml.evaluate(student, images, ["dark"])
