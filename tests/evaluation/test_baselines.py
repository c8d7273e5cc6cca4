import numpy as np
import pytest

from medlabel.evaluation.baselines import embedding_clusters, majority_class, pixel_statistics


@pytest.fixture
def scores():
    return np.eye(2, dtype=np.float32)[(np.arange(60) % 3 == 0).astype(int)]


def test_the_majority_class_is_the_teachers(scores):
    assert majority_class(scores, 4).argmax(axis=1).tolist() == [0] * 4


def test_pixel_statistics_tell_bright_from_dark(scores):
    rng = np.random.default_rng(0)
    pool = rng.integers(0, 50, (60, 28, 28), dtype=np.uint8)
    pool[scores[:, 1] == 1] += 150
    assert pixel_statistics(pool, scores, pool).argmax(1).tolist() == scores.argmax(1).tolist()


def test_pixel_statistics_of_one_class_are_its_majority():
    one = np.eye(2, dtype=np.float32)[np.zeros(5, int)]
    images = np.zeros((5, 28, 28, 3), np.uint8)
    assert pixel_statistics(images, one, images).argmax(axis=1).tolist() == [0] * 5


def test_clusters_are_named_by_the_teacher_even_if_it_is_often_wrong():
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    embeddings = rng.normal(labels[:, None] * 3, 0.3, (80, 4))
    noisy = np.eye(2, dtype=np.float32)[np.where(rng.random(80) < 0.3, 1 - labels, labels)]
    named = embedding_clusters(embeddings, noisy, embeddings, seed=0).argmax(axis=1)
    assert named.tolist() == labels.tolist()
