"""The small CLIP that medlabel trains itself: what it is, how it is trained, how it is kept.

A real open_clip model: saved by `save_clip`, it is loaded by plain open_clip, with no medlabel:

    model, preprocess = open_clip.create_model_from_pretrained("local-dir:FOLDER")
    tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)
from medlabel.storage.strict_json import to_json

import open_clip  # isort: skip

from medlabel import versions
from medlabel.phantoms.own import added_sources
from medlabel.storage.digests import hex_digest

__all__ = [
    "CAPTION_LENGTH",
    "PREPROCESSING",
    "PretrainingConfig",
    "build_clip",
    "fingerprint",
    "is_phantom",
    "model_settings",
    "pretraining_named",
    "save_clip",
]


CAPTION_LENGTH = 32
"""Tokens of the longest caption that the small CLIP reads."""

_FIRST_SCALE = 30.0

PREPROCESSING: Mapping[str, Any] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
"""open_clip's `preprocess_cfg` of the small CLIP."""


@dataclass(frozen=True)
class PretrainingConfig:
    """How the small CLIP is trained.

    | field | what |
    | --- | --- |
    | steps | optimiser steps; the clock never stops it |
    | batch_size | images per step; a look's share grows as the root of its kinds |
    | phantoms_per_look | images drawn of each look |
    | learning_rate | AdamW's peak, after a short warm-up and before a cosine fall |
    | seed | of the phantoms, the weights and the batches |
    | tower | timm's name of the image encoder |
    | image_size | side in pixels of the tower's input; phantoms are enlarged to it |
    | paraphrases | whether captions are paraphrased, or only worded as teachers word them |
    | spread | how much of each range of pose, shape and exposure is used (`parts.Canvas`) |
    | looks | Python source of looks that a user has added (`medlabel.phantoms.own`) |
    | left_out | looks (`octmnist`) and kinds (`octmnist#3`) that it must not see, for tests of |
    | | how it behaves on images that it was not trained on |
    """

    steps: int = 2500
    batch_size: int = 192
    phantoms_per_look: int = 6000
    learning_rate: float = 3e-3
    seed: int = 0
    tower: str = "test_resnet"
    image_size: int = 32
    paraphrases: bool = True
    spread: float = 1.0
    looks: tuple[str, ...] = field(default_factory=added_sources)
    left_out: tuple[str, ...] = ()


def is_phantom(name: str) -> bool:
    """Whether a model's name is of a phantom CLIP: `phantom`, or `phantom-2` for one of seed 2."""
    return re.fullmatch(r"phantom(-[1-9]\d{0,3})?", name) is not None


def pretraining_named(name: str) -> PretrainingConfig:
    """How a phantom CLIP of this name is trained; looks that were added are in it."""
    return PretrainingConfig(seed=int(name.partition("-")[2] or 0))


def model_settings(config: PretrainingConfig) -> dict[str, Any]:
    """open_clip's `model_cfg` of the small CLIP."""
    return {
        "embed_dim": 64,
        "vision_cfg": {
            "timm_model_name": config.tower,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": config.image_size,
        },
        "text_cfg": {
            "context_length": CAPTION_LENGTH,
            "vocab_size": 49408,
            "width": 48,
            "heads": 4,
            "layers": 1,
        },
    }


def fingerprint(config: PretrainingConfig) -> str:
    """Twelve hexadecimal digits: a hash of all that decides the weights, settings and versions."""
    how = asdict(config)
    if not config.left_out:
        del how["left_out"]  # so that models of earlier releases keep their names
    decisive = [how, model_settings(config), PREPROCESSING, dict(versions.PHANTOM_CLIP)]
    return hex_digest(json.dumps(decisive, sort_keys=True), 12)


def build_clip(config: PretrainingConfig) -> open_clip.CLIP:
    """The small CLIP with random weights that follow from the config's seed."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = open_clip.CLIP(**model_settings(config))
        # CLIP's own first temperature, 1/14, separates similar kinds too slowly
        torch.nn.init.constant_(model.logit_scale, math.log(_FIRST_SCALE))
        return model


def save_clip(
    model: torch.nn.Module, folder: Path, config: PretrainingConfig | None = None
) -> None:
    """Write a model into a folder in open_clip's `local-dir:` format.

    Args:
        model: one that `build_clip` built.
        folder: where.
        config: from which it was built; the default one if unset.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    # not save_file: no other user may read its files, and its errors hide those of the system
    (folder / "open_clip_model.safetensors").write_bytes(save(weights, {"format": "pt"}))
    settings = {
        "model_cfg": model_settings(config or PretrainingConfig()),
        "preprocess_cfg": PREPROCESSING,
    }
    (folder / "open_clip_config.json").write_text(
        to_json(settings, indent=2) + "\n", encoding="utf-8"
    )
