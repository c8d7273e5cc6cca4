from dataclasses import replace

import numpy as np
import pytest
import torch

from medlabel.student.losses import EarlyLearningRegulariser, recipe_loss
from medlabel.student.recipes import RECIPES

PAPER = RECIPES["paper"]
LOGITS, WRONG = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
MISSED = 1 - float(LOGITS.softmax(1)[0, 1])


def value(logits, targets, **changes):
    return float(recipe_loss(replace(PAPER, **changes), logits, targets).sum())


def test_a_value_for_each_image():
    each = recipe_loss(PAPER, LOGITS.repeat(3, 1), WRONG.repeat(3, 1))
    np.testing.assert_allclose(each, [-np.log(1 - MISSED)] * 3, rtol=1e-6)


def test_the_generalised_loss_lies_between_absolute_error_and_cross_entropy():
    ends = [value(LOGITS, WRONG, loss="generalised", loss_exponent=q) for q in (1.0, 1e-4, 0.0)]
    assert ends[0] == pytest.approx(MISSED)
    assert ends[1] == pytest.approx(value(LOGITS, WRONG), abs=1e-3)
    assert ends[2] == value(LOGITS, WRONG)


def test_the_symmetric_loss_is_cross_entropy_and_its_reverse():
    got = value(LOGITS, WRONG, loss="symmetric")
    assert got == pytest.approx(0.1 * value(LOGITS, WRONG) + 4 * MISSED, rel=1e-6)


@pytest.mark.parametrize("name", ["generalised", "symmetric"])
def test_a_robust_loss_pulls_less_at_a_label_that_is_surely_wrong(name):
    def pull(how):
        logits = torch.tensor([[6.0, 0.0]], requires_grad=True)
        recipe_loss(replace(PAPER, loss=how), logits, WRONG).sum().backward()
        return float(logits.grad.abs().sum())

    assert pull(name) < 0.3 * pull("cross-entropy")


def test_early_learning_resists_leaving_what_it_thought():
    memory = EarlyLearningRegulariser(torch.zeros(2, 2))
    rows, sure = torch.tensor([1]), torch.tensor([[3.0, 0.0]])
    for _ in range(10):
        memory(sure, rows)
    logits = torch.tensor([[1.0, 0.0]], requires_grad=True)
    memory(logits, rows).sum().backward()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]  # a step would go back to the first class


def test_early_learning_knows_images_apart():
    memory = EarlyLearningRegulariser(torch.zeros(2, 2))
    memory(torch.tensor([[3.0, 0.0]]), torch.tensor([1]))
    fresh = EarlyLearningRegulariser(torch.zeros(2, 2))
    assert memory(LOGITS, torch.tensor([0])) == fresh(LOGITS, torch.tensor([0]))
