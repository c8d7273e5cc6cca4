"""The small CLIP: a real open_clip model, named for all that decides its weights."""

import json

import pytest
import torch

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)

import open_clip  # isort: skip

from medlabel.errors import MedlabelError
from medlabel.phantom_clip import (
    PretrainingConfig,
    build_clip,
    fingerprint,
    pretraining_named,
    save_clip,
)

CONFIG = PretrainingConfig(steps=4, batch_size=24, phantoms_per_look=8)


def assert_same(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_model_is_small():
    assert sum(weight.numel() for weight in build_clip(CONFIG).parameters()) < 3_000_000


def test_the_seed_decides_the_first_weights():
    assert_same(build_clip(CONFIG).state_dict(), build_clip(CONFIG).state_dict())


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


def test_the_large_one_differs_from_the_default():
    assert fingerprint(pretraining_named("phantom")) == fingerprint(PretrainingConfig())
    assert fingerprint(pretraining_named("phantom-large")) != fingerprint(PretrainingConfig())
    with pytest.raises(MedlabelError, match="phantom-large"):
        pretraining_named("phantom-huge")
