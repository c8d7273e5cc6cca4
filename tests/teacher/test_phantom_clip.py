"""The small CLIP: a real open_clip model, named for all that decides its weights."""

import json
from dataclasses import replace

import pytest
import torch

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)

import open_clip  # isort: skip

from medlabel.teacher.phantom_clip import (
    PretrainingConfig,
    build_clip,
    fingerprint,
    is_phantom,
    pretraining_named,
    save_clip,
)

CONFIG = PretrainingConfig(steps=4, batch_size=24, phantoms_per_look=8)


def assert_same(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_model_is_small():
    assert sum(weight.numel() for weight in build_clip(CONFIG).parameters()) < 3_000_000


def test_the_seed_decides_the_first_weights():
    ours = build_clip(CONFIG).state_dict()
    assert_same(ours, build_clip(CONFIG).state_dict())
    other = build_clip(replace(CONFIG, seed=CONFIG.seed + 1)).state_dict()
    first = "visual.trunk.conv1.0.weight"
    assert not torch.equal(ours[first], other[first])


def test_building_leaves_the_callers_dice_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    build_clip(CONFIG)
    assert torch.equal(before, torch.get_rng_state())


def test_plain_open_clip_loads_what_is_saved(tmp_path):
    save_clip(build_clip(CONFIG), tmp_path)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["a cat that no phantom shows"])
    assert preprocess is not None
    assert model.encode_text(tokens).shape == (1, 64)
    assert_same(build_clip(CONFIG).state_dict(), model.state_dict())


def test_saved_settings_name_the_model_and_its_preprocessing(tmp_path):
    save_clip(build_clip(CONFIG), tmp_path)
    settings = json.loads((tmp_path / "open_clip_config.json").read_text())
    assert set(settings) == {"model_cfg", "preprocess_cfg"}


def test_the_fingerprint_is_of_the_config():
    assert fingerprint(CONFIG) == fingerprint(CONFIG)
    assert fingerprint(CONFIG) != fingerprint(PretrainingConfig())


def test_a_number_behind_the_name_is_a_seed():
    assert pretraining_named("phantom") == PretrainingConfig()
    assert pretraining_named("phantom-2") == PretrainingConfig(seed=2)
    assert fingerprint(pretraining_named("phantom-2")) != fingerprint(PretrainingConfig())


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("phantom", True), ("phantom-12", True), ("phantom-0", False), ("phantom-x", False),
        ("phantom:breastmnist", False), ("a-phantom", False), ("phantom-1+views", False),
    ],
)  # fmt: skip
def test_names_of_phantom_clips(name, is_one):
    assert is_phantom(name) == is_one
