import numpy as np
import pytest

from medlabel.student.human_labels import UNLABELED, HumanLabels

LABELS = HumanLabels(np.array([UNLABELED, 1, 0]), weight=5)


def test_what_people_said_is_the_target_whatever_the_teacher_says():
    teacher = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    np.testing.assert_allclose(LABELS.apply_to_targets(teacher), [[0.6, 0.4], [0, 1], [1, 0]])


def test_it_has_its_own_weight_and_is_never_left_out():
    weights = np.array([0.5, 0, 1], dtype=np.float32)
    assert LABELS.apply_to_weights(weights).tolist() == [0.5, 5, 5]


def test_a_part_of_the_pool_keeps_its_labels():
    assert LABELS.subset(np.array([2, 0])).labels.tolist() == [0, UNLABELED]


def test_a_label_without_weight_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        HumanLabels(np.array([0]), weight=0)
