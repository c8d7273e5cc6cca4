from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from medlabel.evaluation.diagnostics import (
    Signals,
    best_seed_index,
    compute_signals,
    diagnostic_warnings,
    kappa,
    pixel_features,
    student_agreement,
    summarise_diagnostics,
)

SOUND = Signals(
    teacher=0.6,
    teacher_error=0.05,
    neighbours=0.9,
    balance=0.95,
    confidence=0.5,
    confidence_error=0.05,
)


def one_hot(labels, k=2):
    return np.eye(k)[labels]


def test_kappa_by_hand_and_as_scikit_learn_has_it():
    one, other = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    value, error = kappa(one, other, 2)
    assert value == pytest.approx((0.75 - 0.5) / (1 - 0.5))
    assert value == pytest.approx(cohen_kappa_score(one, other))
    # chance 1/2; 1/2 + 1/4 - (.5 * .75 * 1.25 + .5 * .25 * .75) = 0.1875
    assert error == pytest.approx(np.sqrt(0.1875 / 4) / 0.5)


def test_the_error_of_kappa_is_its_spread_over_permutations():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    sampled = [kappa(rng.permutation(one), other, 3)[0] for _ in range(500)]
    assert kappa(one, other, 3)[1] == pytest.approx(np.std(sampled), rel=0.1)


def test_one_label_for_everything_agrees_on_nothing():
    assert kappa(np.zeros(5, int), np.zeros(5, int), 2) == (0.0, 0.0)


def test_groups_that_the_student_found_are_trusted():
    truth = np.arange(200) % 2
    features = np.random.default_rng(0).normal(truth[:, None] * 10, 1, (200, 4))
    wrong = np.random.default_rng(1).random(200) < 0.3
    found = compute_signals(one_hot(truth ^ wrong), one_hot(truth), features)
    assert found.neighbours == pytest.approx(1)
    assert found.balance == pytest.approx(1)
    assert diagnostic_warnings(found) == ()


def test_labels_without_images_behind_them_are_not_believed():
    rng = np.random.default_rng(0)
    teacher, student = rng.integers(0, 2, (2, 300))
    found = compute_signals(one_hot(teacher), one_hot(student), rng.normal(size=(300, 4)))
    warnings = diagnostic_warnings(found)
    assert warnings[0].startswith("This task looks undecidable")
    assert "no more than by chance" in warnings[0]
    assert any("no visible groups" in line for line in warnings)


def test_a_teacher_that_is_no_surer_than_a_guess_is_not_believed():
    truth = np.arange(400) % 2
    student, features = one_hot(truth), 10.0 * truth[:, None]
    # three errors of a guess are 3 * 0.5 / 20 = 0.075 of probability, 0.15 of what is beyond
    unsure, surer = (0.5 + share * (one_hot(truth) - 0.5) for share in (0.14, 0.16))
    assert "own probabilities" in diagnostic_warnings(compute_signals(unsure, student, features))[0]
    assert diagnostic_warnings(compute_signals(surer, student, features)) == ()


def test_a_student_that_says_one_thing_is_not_believed():
    teacher = np.arange(100) % 2
    found = compute_signals(
        one_hot(teacher), one_hot(np.zeros(100, int)), np.arange(100.0)[:, None]
    )
    assert found.balance == 0
    assert any("hardly ever" in line for line in diagnostic_warnings(found))


def test_students_are_compared_on_what_both_judged():
    one = {f"a/{i}": i % 2 for i in range(40)}
    other = {f"a/{i}": i % 2 for i in range(20, 60)}
    assert student_agreement([one, other], 2) == pytest.approx(1)
    few = {f"a/{i}": 1 - i % 2 for i in range(30, 70)}
    assert student_agreement([one, few], 2) is None  # ten images tell nothing
    assert student_agreement([one, few, other], 2) == pytest.approx(-1)
    assert student_agreement([one], 2) is None
    assert any("another random sample" in line for line in diagnostic_warnings(SOUND, students=0.2))


def test_a_run_is_judged_by_the_median_of_its_draws():
    spoilt = Signals(0, 0.05, 0, 0, 0, 0.05)
    trust = summarise_diagnostics([SOUND, SOUND, spoilt], 0.9)
    assert (trust.n_seeds, trust.signals.teacher, trust.warnings) == (3, 0.6, ())
    assert trust.to_json()["students"] == 0.9


def test_pixels_are_compared_at_one_size():
    images = np.full((2, 28, 28, 3), 255, np.uint8)
    assert pixel_features(images).shape == (2, 14 * 14 * 3)
    assert pixel_features(images[..., 0]).max() == 1


ONE = {f"a/{i}": i % 2 for i in range(20)}
OTHER = {
    name: label if number > 5 else 1 - label for number, (name, label) in enumerate(ONE.items())
}


@pytest.mark.parametrize("field", ["balance", "neighbours"])
def test_the_draw_that_agrees_most_is_the_best(field):
    each = [replace(SOUND, **{field: value}) for value in (0.5, 0.8, 0.8)]
    assert best_seed_index(each, [ONE, ONE, ONE], 2) == 1


def test_a_draw_that_the_others_contradict_is_not_the_best():
    assert best_seed_index([SOUND] * 3, [OTHER, ONE, ONE], 2) == 1
    assert best_seed_index([SOUND], [ONE], 2) == 0
    apart = {f"b/{i}": 0 for i in range(20)}  # shares no image with the others
    each = [SOUND, SOUND, replace(SOUND, balance=1.0)]
    assert best_seed_index(each, [ONE, ONE, apart], 2) == 2


def test_draws_without_an_image_in_common_are_told_apart_by_the_rest():
    assert best_seed_index([SOUND, replace(SOUND, balance=1.0)], [{"a": 0}, {"b": 0}], 2) == 1
