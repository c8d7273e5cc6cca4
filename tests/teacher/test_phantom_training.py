"""The training of the small CLIP: it learns, and resumes exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)
from medlabel import phantoms
from medlabel.teacher.phantom_clip import (
    PretrainingConfig,
    build_clip,
)
from medlabel.teacher.phantom_training import Pretraining, _augment, _match_loss, clip_from_state

CONFIG = PretrainingConfig(steps=4, batch_size=24, phantoms_per_look=8)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def labelled():
    return {flag: phantoms.draw_look(look, 8, 0) for flag, look in phantoms.LOOKS.items()}


def weights_after(training: Pretraining) -> dict[str, torch.Tensor]:
    while not training.done:
        training.step()
    return training.model.state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_trains_the_same_weights_and_another_seed_others(labelled):
    first, again = (weights_after(Pretraining(CONFIG, labelled)) for _ in range(2))
    other = weights_after(Pretraining(replace(CONFIG, seed=1), labelled))
    assert_same(first, again)
    assert not torch.equal(first["logit_scale"], other["logit_scale"])


def test_a_resumed_training_ends_in_the_same_weights(labelled, tmp_path):
    whole = Pretraining(CONFIG, labelled)
    stopped = Pretraining(CONFIG, labelled)
    for _ in range(2):
        stopped.step()
    torch.save(stopped.state_dict(), tmp_path / "state.pt")
    resumed = Pretraining(CONFIG, labelled)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.steps_done == 2
    assert_same(weights_after(whole), weights_after(resumed))


def test_the_loss_falls(labelled):
    config = PretrainingConfig(steps=25, batch_size=24)
    training = Pretraining(config, labelled)
    losses = [training.step() for _ in range(config.steps)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.2


def test_a_row_without_a_match_counts_for_nothing():
    logits = torch.tensor([[4.0, 0.0], [1.0, 3.0]])
    matches = torch.tensor([[True, False], [False, False]])
    assert _match_loss(logits, matches) == _match_loss(logits[:1], matches[:1])


def test_what_is_not_allowed_is_not_held_against_a_row():
    logits, matches = torch.tensor([[0.0, 9.0]]), torch.tensor([[True, False]])
    assert _match_loss(logits, matches) > 8
    assert _match_loss(logits, matches, torch.tensor([[True, False]])) < 1e-4


def test_images_that_may_not_be_mirrored_are_not():
    batch = torch.zeros(64, 3, 28, 28, dtype=torch.uint8)
    batch[..., :10] = 255
    rng = np.random.default_rng(0)
    left = _augment(batch, np.repeat([True, False], 32), 40, rng)[..., :20].mean((1, 2, 3)) > 0
    assert left[32:].all()
    assert 8 < left[:32].sum() < 24


def test_the_trained_clip_knows_the_words_of_captions_and_leaves_the_others_alone(labelled):
    training = Pretraining(CONFIG, labelled)
    while not training.done:
        training.step()
    before = build_clip(CONFIG).token_embedding.weight
    after = clip_from_state(CONFIG, training.state_dict()).token_embedding.weight
    met = torch.from_numpy(training.book.words)
    other = torch.ones(len(before), dtype=torch.bool).index_fill(0, met, False)
    assert torch.equal(after[met], training.model.token_embedding.weight)
    assert not torch.equal(after[met], before[met])
    assert torch.equal(after[other], before[other])


def test_captions_end_where_open_clip_looks_for_their_end(labelled):
    training = Pretraining(CONFIG, labelled)
    tokens = training.book.sample(np.random.default_rng(0))
    assert (training.book.words[tokens.max(1).values] == 49407).all()
    assert (training.book.words[tokens[:, 0]] == 49406).all()


def test_a_look_with_more_kinds_takes_more_images_of_a_batch(labelled):
    config = PretrainingConfig(batch_size=192, phantoms_per_look=8)
    share = dict(zip(labelled, Pretraining(config, labelled).per_look, strict=True))
    assert share["pneumoniamnist"] < share["bloodmnist"] < share["chestmnist"]
    assert abs(sum(share.values()) - 192) < 6


def test_a_row_counts_by_its_weight():
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
    matches = torch.tensor([[True, False], [True, False]])
    even = _match_loss(logits, matches, weights=torch.tensor([2.0, 2.0]))
    assert torch.isclose(even, _match_loss(logits, matches))
    assert _match_loss(logits, matches, weights=torch.tensor([9.0, 1.0])) < even


def test_without_paraphrases_only_captions_of_teachers_are_used(labelled):
    book = Pretraining(replace(CONFIG, paraphrases=False), labelled).book
    assert all(len(groups) == 1 for groups in book.groups)
    assert len(book.words) < len(Pretraining(CONFIG, labelled).book.words)
