"""Signals of embeddings that were made by hand: unit vectors along the axes of four dimensions."""

from dataclasses import replace

import numpy as np
import pytest

from medlabel.evaluation.evidence.signals import (
    ENSEMBLE_SIGNALS,
    SIGNALS,
    Reading,
    compute_evidence_signals,
    observe,
)
from medlabel.evaluation.evidence.world import World

A, B, C, NOWHERE = np.eye(4, dtype=np.float32)
NEARNESS = np.array([0.5, 0.6, 0.7, 0.8], np.float32)
WORLD = World(
    ("amnist", "bmnist", "cmnist"),
    np.stack([A, B, C]),
    np.arange(3),
    np.ones(3, dtype=bool),
    np.repeat([A, B, C], 6, axis=0),
    np.repeat([0, 1, 2], 6),
    (NEARNESS,) * 3,
)
LEARNED = {"one": "all", "other": "all"}


def reading(images, classes=(A, B), wordings=None, world=WORLD):
    stacked = np.stack(classes)
    others = stacked[None] if wordings is None else np.stack([np.stack(w) for w in wordings])
    return Reading(np.stack(images), stacked, others, 10.0, world)


def signals(*readings, views=(), learned=LEARNED):
    return compute_evidence_signals(readings, [np.stack(view) for view in views], learned)


READ = reading([A, B, A, B])


def test_every_signal_has_a_figure_in_the_order_of_the_calibration():
    found = signals(READ, READ, views=[[A, B, A, B]])
    assert tuple(found) == SIGNALS
    assert np.isfinite(list(found.values())).all()


@pytest.mark.parametrize(
    ("other", "agreement", "kappa"),
    [([A, B, A, B], 1, 1), ([A, A, B, B], 0, 0), ([B, A, B, A], -1, -1)],
)
def test_agreement_of_two_teachers_is_0_for_chance(other, agreement, kappa):
    found = signals(READ, reading(other))
    assert found["agreement"] == pytest.approx(agreement)
    assert found["kappa"] == pytest.approx(kappa)


def test_agreement_of_three_teachers_is_the_mean_over_their_pairs():
    found = signals(READ, READ, reading([B, A, B, A]))
    assert found["agreement"] == pytest.approx((1 - 1 - 1) / 3)


def test_teachers_that_give_one_label_to_all_images_agree_without_kappa():
    found = signals(reading([A, A, A, A]), reading([A, A, A, A]))
    assert found["agreement"] == 1
    assert found["kappa"] == 0
    assert found["balance"] == 0


def test_one_teacher_has_no_signals_of_several():
    found = signals(READ)
    assert {name for name, value in found.items() if np.isnan(value)} == {
        *ENSEMBLE_SIGNALS, "views",
    }  # fmt: skip


def test_teachers_see_and_mean_the_same_looks_or_not():
    found = signals(READ, reading([A, B, C, C], classes=(A, C)))
    assert found["look_agreement"] == 0.5
    assert found["drawing_agreement"] == 0.5
    assert found["meaning_agreement"] == 0.5


def test_images_far_from_all_drawings_are_counted():
    found = signals(reading([A, B, A, NOWHERE]))
    assert found["far"] == 0.25
    assert found["nearness"] == pytest.approx(0.75)


def test_images_under_the_names_of_other_looks_are_not_what_they_were_given():
    right, wrong = signals(READ), signals(reading([A, B, A, B], classes=(C, NOWHERE)))
    for name in ("assigned", "assigned_by_drawing", "in_task"):
        assert right[name] == 1
    # "nowhere" has no caption of its own and counts as the first look: half of the images
    assert wrong["in_task"] == 0.5
    assert wrong["assigned"] == wrong["assigned_by_drawing"] == 0


def test_captions_of_looks_and_nearest_drawings_may_contradict():
    turned = replace(WORLD, captions=np.stack([B, A, C]))
    assert signals(READ)["look_by_drawing"] == 1
    assert signals(replace(READ, world=turned))["look_by_drawing"] == 0


def test_meaning_is_that_of_the_least_known_class():
    half = np.array([0, 0.6, 0, 0.8], np.float32)
    found = signals(reading([A, B, A, B], classes=(A, half)))
    assert found["meaning"] == pytest.approx(0.6)
    assert found["meaning_mean"] == pytest.approx(0.8)


def test_the_gap_is_the_cosine_lost_against_the_best_of_all_captions():
    assert signals(READ)["gap"] == 0
    assert signals(reading([A, B, C, C]))["gap"] == pytest.approx(-0.5)


def test_labels_that_change_with_the_wording():
    same, swapped = (A, B), (B, A)
    assert signals(reading([A, B, A, B], wordings=[same]))["wordings"] == 1
    assert signals(reading([A, B, A, B], wordings=[swapped]))["wordings"] == -1
    assert signals(reading([A, B, A, B], wordings=[same, swapped]))["wordings"] == 0


def test_labels_that_change_with_the_view():
    assert signals(READ, views=[[A, B, A, B]])["views"] == 1
    assert signals(READ, views=[[A, B, A, B], [A, A, B, B]])["views"] == 0.5


def test_two_classes_with_one_meaning():
    assert signals(READ)["caption_similarity"] == 0
    assert signals(reading([A, B], classes=(A, A)))["caption_similarity"] == pytest.approx(1)


def test_balance_and_confidence():
    found = signals(reading([A, A, A, B]))
    assert found["balance"] == pytest.approx(0.5)
    sure = 1 / (1 + np.exp(-10))  # softmax of 10 and 0
    assert found["confidence"] == pytest.approx(2 * sure - 1, abs=1e-4)


def test_neighbours_share_their_labels_or_not():
    clusters = [A] * 12 + [B] * 12
    assert signals(reading(clusters))["neighbours"] == pytest.approx(1)
    tilted = np.array([[0.8, 0.6, 0, 0], [0.6, 0.8, 0, 0]], np.float32)
    mixed = [tilted[n % 2] for n in range(4)]  # each has one like it, and two of the other label
    assert signals(reading(mixed))["neighbours"] < 0


def test_a_single_image_has_no_neighbours():
    assert signals(reading([A]))["neighbours"] == 0


def test_words_that_were_never_learned():
    found = signals(READ, learned={"a": "none", "b": "some", "c": "all", "d": "none"})
    assert found["unknown"] == 0.5
    assert found["half_known"] == 0.25


def test_an_observation_has_a_label_a_look_and_a_drawing_per_image():
    seen = observe(reading([A, C, NOWHERE], classes=(B, A)))
    assert seen.labels.tolist() == [1, 0, 0]
    assert seen.seen.tolist()[:2] == seen.drawn.tolist()[:2] == [0, 2]
    assert seen.meant.tolist() == [1, 0]
    assert seen.nearness.tolist() == [1, 1, 0]
    np.testing.assert_allclose(seen.scores.sum(axis=1), 1, rtol=1e-5)
