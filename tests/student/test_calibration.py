"""Calibration on pseudo-labels, and out-of-distribution scores."""

import numpy as np
import pytest
import torch
from torch import nn

from medlabel.student import calibration
from medlabel.student.calibration import FeatureReader, calibrate
from medlabel.student.fit import predict_proba
from medlabel.student.networks import Student

RNG = np.random.default_rng(0)


def pool(n=80):
    """Dark and bright noise, in turn."""
    level = np.where(np.arange(n) % 2, 170, 60)[:, None, None]
    return (level + RNG.normal(0, 15, (n, 28, 28))).clip(0, 255).astype(np.uint8)


def student(channels=1, members=2):
    torch.manual_seed(0)
    return Student("small", channels, ["a", "b"], 28, members=members).eval()


def one_hot(labels):
    return np.eye(2, dtype=np.float32)[labels]


def test_reader_gives_the_students_own_probabilities_and_features_of_each_member():
    images = pool()
    chances, features = FeatureReader(student())(images)
    np.testing.assert_array_equal(chances, predict_proba(student(), images))
    one = FeatureReader(student(members=1))(images)[1]
    assert features.shape == (80, 2 * one.shape[1])
    np.testing.assert_allclose(FeatureReader(student())(images[:3])[1], features[:3], atol=1e-5)


def test_threads_do_not_mix_their_features_up():
    import threading

    reader, images = FeatureReader(student()), pool(8)
    expected, found = [reader(images[n : n + 2])[1] for n in range(4)], {}
    threads = [
        threading.Thread(target=lambda n=n: found.setdefault(n, reader(images[n : n + 2])[1]))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(4):
        np.testing.assert_allclose(found[n], expected[n], atol=1e-5)


def test_student_that_always_agrees_is_left_as_sure_as_it_is():
    images = pool()
    agreed = one_hot(predict_proba(student(), images).argmax(axis=1))
    assert calibrate(student(), images, agreed).temperature == pytest.approx(1.0)


def test_student_that_is_contradicted_becomes_unsure():
    images = pool()
    labels = predict_proba(student(), images).argmax(axis=1)
    wrong = np.arange(80) % 2 == 0
    torch.manual_seed(0)
    sure = student()
    for member in sure.members:
        head = [layer for layer in member.modules() if isinstance(layer, nn.Linear)][-1]
        head.weight.data *= 50
        head.bias.data *= 50
    labels = predict_proba(sure, images).argmax(axis=1)
    found = calibrate(sure, images, one_hot(np.where(wrong, 1 - labels, labels)))
    softened = found.apply_temperature(predict_proba(sure, images))
    assert found.temperature > 2
    assert abs(softened.max(axis=1).mean() - 0.5) < 0.1
    np.testing.assert_array_equal(
        softened.argmax(axis=1), predict_proba(sure, images).argmax(axis=1)
    )
    np.testing.assert_allclose(softened.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    "strange",
    [
        np.zeros((5, 28, 28), np.uint8),
        RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8),
        np.tile(np.arange(0, 252, 9, dtype=np.uint8), (5, 28, 1)),
    ],
    ids=["black", "noise", "ramp"],
)
def test_images_like_nothing_that_was_learned_are_told(strange):
    images = pool(200)
    found = calibrate(student(), images, one_hot(np.arange(200) % 2))
    reader = FeatureReader(student())
    assert (found.ood_score(reader(strange)[1], strange) > 1).all()
    more = pool(100)
    assert (found.ood_score(reader(more)[1], more) > 1).mean() < 0.1


def test_no_true_label_can_have_a_part_in_the_distance():
    images = pool()
    one, other = (calibrate(student(), images, one_hot((np.arange(80) + k) % 2)) for k in (0, 1))
    np.testing.assert_array_equal(one.centres, other.centres)
    assert one.limit == other.limit


def test_same_pool_same_calibration():
    images, wanted = pool(), one_hot(np.arange(80) % 2)
    one, other = calibrate(student(), images, wanted), calibrate(student(), images, wanted)
    assert (one.temperature, one.limit) == (other.temperature, other.limit)
    np.testing.assert_array_equal(one.whitening, other.whitening)


def test_a_pool_that_is_too_large_is_sampled(monkeypatch):
    images, wanted = pool(), one_hot(np.arange(80) % 2)
    reader = FeatureReader(student())
    assert reader.width == reader(images[:1])[1].shape[1]
    monkeypatch.setattr(calibration, "fit_detector", lambda *_: None)  # it samples by itself
    seen = []
    call = FeatureReader.__call__
    monkeypatch.setattr(FeatureReader, "__call__", lambda s, x: seen.append(len(x)) or call(s, x))
    monkeypatch.setattr(calibration, "_MOST_VALUES", 50 * reader.width)
    sampled = calibrate(student(), images, wanted)
    assert seen == [50]
    monkeypatch.setattr(calibration, "_MOST_VALUES", 80 * reader.width)
    whole = calibrate(student(), images, wanted)
    assert seen == [50, 80]
    assert 0.5 < sampled.limit / whole.limit < 2


def test_network_without_a_linear_end_is_not_calibrated():
    made = student(members=1)
    made.members[0][1] = nn.Sequential(nn.Conv2d(1, 2, 28), nn.Flatten())
    assert calibrate(made, pool(), one_hot(np.arange(80) % 2)) is None
