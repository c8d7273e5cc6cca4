"""The small CLIP that medlabel trains itself, on phantoms alone.

A real open_clip model: saved by `save_clip`, it is loaded by plain open_clip, with no medlabel:

    model, preprocess = open_clip.create_model_from_pretrained("local-dir:FOLDER")
    tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")

Training is contrastive, image against caption, as CLIP's is, with captions of whole sets and of the
classes within them in one space. Several images of a batch share a caption and several captions an
image, so the target of each row is spread over all its matches.
Captions lose words and gain random ones, so that words the model never met do little.

`Pretraining` is the training as an object: call `step` until `done`. Its `state_dict` is the whole
of it, dice included: stopped and resumed, it ends in the weights of one that never stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)

import open_clip  # isort: skip

from medlabel.paraphrases import kind_paraphrases, set_paraphrases
from medlabel.phantoms import LOOKS
from medlabel.phantoms.own import added_sources

__all__ = [
    "MODEL",
    "PREPROCESSING",
    "Drawn",
    "Pretraining",
    "PretrainingConfig",
    "build_clip",
    "fingerprint",
    "save_clip",
]

Drawn = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Phantoms of one look, and the kind of each."""

MODEL: Mapping[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {
        "timm_model_name": "test_resnet",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 40,
    },
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 48, "heads": 4, "layers": 1},
}
"""open_clip's `model_cfg` of the small CLIP."""

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
    | batch_size | images a step, spread evenly over the looks |
    | phantoms_per_look | images drawn of each look |
    | learning_rate | AdamW's peak, after a short warm-up and before a cosine fall |
    | seed | of the phantoms, the weights and the batches |
    | looks | Python source of looks that a user has added (`medlabel.phantoms.own`) |
    """

    steps: int = 1000
    batch_size: int = 192
    phantoms_per_look: int = 4000
    learning_rate: float = 3e-3
    seed: int = 0
    looks: tuple[str, ...] = field(default_factory=added_sources)


def fingerprint(config: PretrainingConfig) -> str:
    """Twelve hex digits of all that decides the weights: config, model, captions, code."""
    digest = hashlib.sha256()
    digest.update(json.dumps([asdict(config), MODEL, PREPROCESSING], sort_keys=True).encode())
    package = files("medlabel")
    sources = [package / f"{name}.py" for name in ("captions", "paraphrases", "contrastive")]
    sources += sorted((package / "phantoms").iterdir(), key=lambda file: file.name)
    for source in sources:
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def build_clip(config: PretrainingConfig) -> open_clip.CLIP:
    """The small CLIP with random weights rolled from the config's seed."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = open_clip.CLIP(**MODEL)
        # CLIP's own first temperature, 1/14, is too soft to part alike kinds within minutes
        torch.nn.init.constant_(model.logit_scale, math.log(_FIRST_SCALE))
        return model


def save_clip(model: torch.nn.Module, folder: Path) -> None:
    """Write the model into a folder in open_clip's `local-dir:` format."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    settings = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(settings, indent=2) + "\n")


# --- Captions to train on ------------------------------------------------------------------------


def _garble(tokens: Sequence[int], dice: np.random.Generator, vocabulary: int) -> list[int]:
    """A caption's word tokens with a few lost and a few random ones put in."""
    kept = [token for token in tokens if dice.random() > 0.06] or list(tokens)
    for _ in range(int(dice.integers(0, 4)) if dice.random() < 0.4 else 0):
        kept.insert(int(dice.integers(0, len(kept) + 1)), int(dice.integers(0, vocabulary)))
    return kept


class _CaptionBook:
    """The training captions of every look and of every kind as tokens; a batch is drawn from it.

    The captions of looks come first, `per_look` of each, then one of each kind of each look.
    `looks` [T] is whose caption each is, `kinds` [T] its kind, or -1 where it is the look's.
    """

    def __init__(self, kinds: Mapping[str, int], per_look: int) -> None:
        self.length = int(MODEL["text_cfg"]["context_length"])
        tokenizer = open_clip.SimpleTokenizer(context_length=self.length)
        self.start, self.end = tokenizer.sot_token_id, tokenizer.eot_token_id
        said = [(look, -1, set_paraphrases(flag)) for look, flag in enumerate(kinds)] * per_look
        for look, (flag, count) in enumerate(kinds.items()):
            said += [(look, kind, kind_paraphrases(flag, kind)) for kind in range(count)]
        self.looks = torch.tensor([look for look, _, _ in said])
        self.kinds = torch.tensor([kind for _, kind, _ in said])
        self.groups = [
            [[tokenizer.encode(text) for text in group] for group in groups]
            for _, _, groups in said
        ]

    def draw(self, dice: np.random.Generator) -> Tensor:
        """Tokens int64 [T, length]."""
        rows = np.zeros((len(self.groups), self.length), np.int64)
        for groups, tokens in zip(self.groups, rows, strict=True):
            group = groups[int(dice.integers(len(groups)))]
            words = _garble(group[int(dice.integers(len(group)))], dice, self.start)
            line = [self.start, *words[: self.length - 2], self.end]
            tokens[: len(line)] = line
        return torch.from_numpy(rows)


# --- Training ------------------------------------------------------------------------------------


def _as_colour(images: NDArray[np.uint8]) -> Tensor:
    """Grey [n,size,size] or colour [n,size,size,3] images as uint8 [n,3,size,size]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images))
    if pixels.ndim == 3:
        return pixels[:, None].expand(-1, 3, -1, -1)
    return pixels.permute(0, 3, 1, 2).contiguous()


def _match_loss(logits: Tensor, matches: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Cross-entropy of each row against all its matches alike; rows without any are left out.

    Args:
        logits: [rows, columns].
        matches: bool [rows, columns].
        allowed: bool [rows, columns], what a row is compared with; None: everything.
    """
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -1e4)
    some = matches.any(1)
    targets = matches[some].float()
    return functional.cross_entropy(logits[some], targets / targets.sum(1, keepdim=True))


class Pretraining:
    """The training of the small CLIP, one step at a time.

    Args:
        config: how it is trained.
        phantoms: by flag, images uint8 [n,size,size] or [n,size,size,3], all of one size, and the
            kind of each, int64 [n].
    """

    captions_per_look = 2

    def __init__(self, config: PretrainingConfig, phantoms: Mapping[str, Drawn]) -> None:
        self.config = config
        self.images = [_as_colour(images) for images, _ in phantoms.values()]
        self.kinds = [torch.tensor(kinds) for _, kinds in phantoms.values()]
        self.mirrored = [LOOKS[flag].mirrored for flag in phantoms]
        counts = {flag: len(LOOKS[flag].kinds) for flag in phantoms}
        self.book = _CaptionBook(counts, self.captions_per_look)
        self.model = build_clip(config).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.learning_rate,
            weight_decay=0.02,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.steps_done = 0

    @property
    def done(self) -> bool:
        """Whether all steps are taken."""
        return self.steps_done >= self.config.steps

    def step(self) -> float:
        """Take one optimiser step; the loss before it."""
        dice = np.random.default_rng([self.config.seed, self.steps_done])
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self.model.train()
        loss = self._loss(dice)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        self.steps_done += 1
        return float(loss.detach())

    def _learning_rate(self) -> float:
        """Linear warm-up over a twentieth of the steps, then a cosine fall to a hundredth."""
        share = (self.steps_done + 1) / self.config.steps
        fall = 0.01 + 0.99 * (1 + math.cos(math.pi * min(share, 1.0))) / 2
        return self.config.learning_rate * min(1.0, share / 0.05) * fall

    def _loss(self, dice: np.random.Generator) -> Tensor:
        """The contrastive loss of one batch, both ways: of looks, and of kinds within them."""
        looks = len(self.images)
        per_look = max(1, self.config.batch_size // looks)
        picks = [dice.integers(0, len(images), per_look) for images in self.images]
        batch = torch.cat([images[pick] for images, pick in zip(self.images, picks, strict=True)])
        kinds = torch.cat([kinds[pick] for kinds, pick in zip(self.kinds, picks, strict=True)])
        turned = np.repeat(self.mirrored, per_look)
        image, text, scale = self.model(_augment(batch, turned, dice), self.book.draw(dice))
        of_look = torch.arange(looks).repeat_interleave(per_look)[:, None] == self.book.looks[None]
        whole = self.book.kinds[None] < 0
        of_kind = of_look & (kinds[:, None] == self.book.kinds[None])
        logits = scale * image @ text.T
        # a look's caption and its kind's are both right: neither is held against the other
        looked = _match_loss(logits, of_look & whole, ~of_look | whole)
        kinded = _match_loss(logits, of_kind, ~of_look | ~whole)
        told = _match_loss(logits.T, (of_look & (whole | of_kind)).T)
        return (2 * looked + 2 * kinded + told) / 5

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs: weights, optimiser, steps done."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps_done = int(state["steps_done"])


def _augment(batch: Tensor, mirrored: NDArray[np.bool_], dice: np.random.Generator) -> Tensor:
    """uint8 [n,3,size,size] as the model's input: zoomed, shifted, normalised.

    Half of those that may be `mirrored` [n] are.
    """
    n, side = len(batch), int(MODEL["vision_cfg"]["image_size"])
    zoom = dice.uniform(0.88, 1.06, (n, 2))
    zoom[:, 0] *= np.where((dice.random(n) < 0.5) & mirrored, -1, 1)
    move = np.zeros((n, 2, 3), np.float32)
    move[:, 0, 0], move[:, 1, 1] = zoom.T
    move[:, :, 2] = dice.uniform(-0.1, 0.1, (n, 2))
    grid = functional.affine_grid(torch.from_numpy(move), [n, 3, side, side], align_corners=False)
    pixels = functional.grid_sample(
        batch.float() / 255, grid, "bicubic", padding_mode="reflection", align_corners=False
    ).clamp(0, 1)
    mean, std = (torch.tensor(PREPROCESSING[key])[:, None, None] for key in ("mean", "std"))
    normal: Tensor = (pixels - mean) / std
    return normal
