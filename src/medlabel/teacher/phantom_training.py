"""Train the phantom CLIP on phantoms and their captions.

The training is contrastive, like CLIP's (Radford et al. 2021), with captions of whole sets and of
the classes within them in one embedding space. Several images of a batch may share a caption, and
several captions may describe one image, so the target of each row is spread over all its matches.
Words of captions are dropped and random words inserted, so that unknown words have little effect.

`Pretraining` is the training as an object: call `step` until `done`. Random numbers depend only on
the seed and the step, so a training resumed from its `state_dict` ends with the same weights as one
that never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)

import open_clip  # isort: skip

from medlabel.phantoms import LOOKS
from medlabel.teacher.phantom_captions import kind_paraphrases, set_paraphrases
from medlabel.teacher.phantom_clip import (
    CAPTION_LENGTH,
    PREPROCESSING,
    PretrainingConfig,
    build_clip,
)

__all__ = ["LabelledPhantoms", "Pretraining", "clip_from_state", "learned_tokens"]

LabelledPhantoms = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Phantoms of one look, uint8 [n, S, S] or [n, S, S, 3], and their kinds, int64 [n]."""

_STRANGE = 500  # number of random tokens that may be inserted into captions


def clip_from_state(config: PretrainingConfig, state: Mapping[str, Any]) -> open_clip.CLIP:
    """Return the model of a training's `state_dict`, with the tokenizer's whole vocabulary.

    Tokens that occur in no caption keep the small random vectors of their initialisation.
    """
    model = build_clip(config)
    table = model.token_embedding.weight.detach().clone()
    table[state["words"]] = state["model"]["token_embedding.weight"]
    model.load_state_dict({**state["model"], "token_embedding.weight": table})
    return model


def learned_tokens(config: PretrainingConfig) -> NDArray[np.int64]:
    """Return the ids of the tokens that training changes, ascending: all that captions can hold."""
    counts = {flag: len(look.kinds) for flag, look in LOOKS.items() if flag not in config.left_out}
    return _CaptionBook(counts, Pretraining.captions_per_look, config).words


# --- Training captions ---------------------------------------------------------------------------


def _perturb(
    tokens: Sequence[int], rng: np.random.Generator, strange: NDArray[np.int64]
) -> list[int]:
    """Drop a few tokens of a caption and insert a few of `strange`."""
    kept = [token for token in tokens if rng.random() > 0.06] or list(tokens)
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.4 else 0):
        kept.insert(int(rng.integers(0, len(kept) + 1)), int(rng.choice(strange)))
    return kept


class _CaptionBook:
    """The tokenised training captions of all looks and kinds, from which batches are sampled.

    A batch has T captions: first `per_look` captions of each look, then one of each kind of each
    look. `looks` [T] is the look of each, `kinds` [T] its kind, or -1 for captions of a look.
    `words` are the ids of all tokens that can occur, sorted. Batches hold positions in `words`,
    because an embedding table of some thousand rows trains faster than one of 49,408. Sorting
    keeps the end-of-text token the highest number, by which open_clip finds it.
    """

    def __init__(self, kinds: Mapping[str, int], per_look: int, config: PretrainingConfig) -> None:
        # The first group of each look and kind has the captions that teachers read.
        n_groups = None if config.paraphrases else 1
        tokenizer = open_clip.SimpleTokenizer(context_length=CAPTION_LENGTH)
        grouped = [(look, -1, set_paraphrases(flag)) for look, flag in enumerate(kinds)] * per_look
        for look, (flag, count) in enumerate(kinds.items()):
            grouped += [
                (look, kind, kind_paraphrases(flag, kind))
                for kind in range(count)
                if f"{flag}#{kind}" not in config.left_out
            ]
        self.looks = torch.tensor([look for look, _, _ in grouped])
        self.kinds = torch.tensor([kind for _, kind, _ in grouped])
        encoded = [
            [[tokenizer.encode(text) for text in group] for group in groups[:n_groups]]
            for _, _, groups in grouped
        ]
        start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
        strange = np.random.default_rng([config.seed, _STRANGE]).choice(
            start, _STRANGE, replace=False
        )
        met = {token for groups in encoded for group in groups for text in group for token in text}
        self.words = np.array(sorted({0, start, end, *met, *strange.tolist()}))
        place = {token: number for number, token in enumerate(self.words.tolist())}
        self.start, self.end = place[start], place[end]
        self.strange = np.array([place[token] for token in strange.tolist()])
        self.groups = [
            [[[place[token] for token in text] for text in group] for group in groups]
            for groups in encoded
        ]

    def sample(self, rng: np.random.Generator) -> Tensor:
        """Sample the captions of a batch: positions in `words`, int64 [T, 32]."""
        rows = np.zeros((len(self.groups), CAPTION_LENGTH), np.int64)
        for groups, tokens in zip(self.groups, rows, strict=True):
            group = groups[int(rng.integers(len(groups)))]
            words = _perturb(group[int(rng.integers(len(group)))], rng, self.strange)
            line = [self.start, *words[: CAPTION_LENGTH - 2], self.end]
            tokens[: len(line)] = line
        return torch.from_numpy(rows)


# --- Training ------------------------------------------------------------------------------------


def _as_colour(images: NDArray[np.uint8]) -> Tensor:
    """Convert grey [n, S, S] or colour [n, S, S, 3] images to uint8 [n, 3, S, S]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images))
    if pixels.ndim == 3:
        return pixels[:, None].expand(-1, 3, -1, -1)
    return pixels.permute(0, 3, 1, 2).contiguous()


def _without(
    phantoms: Mapping[str, LabelledPhantoms], left_out: Sequence[str]
) -> dict[str, LabelledPhantoms]:
    """Return the phantoms of all looks and kinds but those that are left out."""
    kept = dict[str, LabelledPhantoms]()
    for flag, (images, kinds) in phantoms.items():
        if flag not in left_out:
            out = [kind for kind in range(len(LOOKS[flag].kinds)) if f"{flag}#{kind}" in left_out]
            rows = ~np.isin(kinds, out)
            kept[flag] = images[rows], kinds[rows]
    return kept


def _match_loss(
    logits: Tensor,
    matches: Tensor,
    allowed: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean cross-entropy of rows against a uniform target over their matches.

    Rows without a match are left out.

    Args:
        logits: [rows, columns].
        matches: bool [rows, columns].
        allowed: bool [rows, columns], the columns that a row is compared with; all if None.
        weights: float [rows], of the rows; equal if None.
    """
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -1e4)
    some = matches.any(1)
    targets = matches[some].float()
    targets = targets / targets.sum(1, keepdim=True)
    if weights is not None:
        targets = targets * (weights[some] / weights[some].mean())[:, None]
    return functional.cross_entropy(logits[some], targets)


class Pretraining:
    """The training of the phantom CLIP, one step at a time.

    Args:
        config: hyperparameters.
        phantoms: for each flag, images of equal size and their kinds.
        device: torch device. Weights that were trained on a GPU differ from those of a CPU.
    """

    captions_per_look = 2

    def __init__(
        self,
        config: PretrainingConfig,
        phantoms: Mapping[str, LabelledPhantoms],
        device: str = "cpu",
    ) -> None:
        self.config, self.device = config, device
        phantoms = _without(phantoms, config.left_out)
        self.images = [_as_colour(images).to(device) for images, _ in phantoms.values()]
        self.kinds = [torch.tensor(kinds).to(device) for _, kinds in phantoms.values()]
        self.mirrored = [LOOKS[flag].mirrored for flag in phantoms]
        counts = {flag: len(LOOKS[flag].kinds) for flag in phantoms}
        # Looks with more kinds get more images, but fewer per kind.
        share = np.sqrt(list(counts.values()))
        share *= config.batch_size / share.sum()
        self.per_look = np.maximum(np.round(share), 1).astype(np.int64)
        self.book = _CaptionBook(counts, self.captions_per_look, config)
        self.model = build_clip(config).to(memory_format=torch.channels_last)
        table = self.model.token_embedding.weight.detach()[torch.from_numpy(self.book.words)]
        self.model.token_embedding = torch.nn.Embedding.from_pretrained(table, freeze=False)
        self.model.to(device)
        self.looks, self.caption_kinds = self.book.looks.to(device), self.book.kinds.to(device)
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
        """Whether all steps have been taken."""
        return self.steps_done >= self.config.steps

    def step(self) -> float:
        """Take one optimiser step and return the loss before it."""
        rng = np.random.default_rng([self.config.seed, self.steps_done])
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self.model.train()
        loss = self._loss(rng)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]  # untyped in some torch
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        self.steps_done += 1
        return float(loss.detach())

    def _learning_rate(self) -> float:
        """Return the rate: linear warm-up over 5 % of the steps, then cosine decay to 1 %."""
        share = (self.steps_done + 1) / self.config.steps
        fall = 0.01 + 0.99 * (1 + math.cos(math.pi * min(share, 1.0))) / 2
        return self.config.learning_rate * min(1.0, share / 0.05) * fall

    def _loss(self, rng: np.random.Generator) -> Tensor:
        """Return the contrastive loss of one batch in both directions, for looks and for kinds."""
        looks = len(self.images)
        picks = [
            rng.integers(0, len(images), n)
            for images, n in zip(self.images, self.per_look, strict=True)
        ]
        batch = torch.cat([images[pick] for images, pick in zip(self.images, picks, strict=True)])
        kinds = torch.cat([kinds[pick] for kinds, pick in zip(self.kinds, picks, strict=True)])
        turned = np.repeat(self.mirrored, self.per_look)
        image, text, scale = self.model(
            _augment(batch, turned, self.config.image_size, rng),
            self.book.sample(rng).to(self.device),
        )
        number = np.repeat(np.arange(looks), self.per_look)
        of_look = torch.from_numpy(number).to(self.device)[:, None] == self.looks[None]
        whole = self.caption_kinds[None] < 0
        of_kind = of_look & (kinds[:, None] == self.caption_kinds[None])
        logits = scale * image @ text.T
        # The captions of a look and of its kind are both correct, so neither is a negative.
        alike = torch.from_numpy(1 / self.per_look[number]).float().to(self.device)
        look_loss = _match_loss(logits, of_look & whole, ~of_look | whole, alike)
        kind_loss = _match_loss(logits, of_kind, ~of_look | ~whole)
        text_loss = _match_loss(logits.T, (of_look & (whole | of_kind)).T)
        return (2 * look_loss + 2 * kind_loss + text_loss) / 5

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs: weights, words, optimiser state, steps done."""
        return {
            "model": self.model.state_dict(),
            "words": torch.from_numpy(self.book.words),
            "optimiser": self.optimiser.state_dict(),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps_done = int(state["steps_done"])


def _augment(
    batch: Tensor, mirrored: NDArray[np.bool_], side: int, rng: np.random.Generator
) -> Tensor:
    """Augment uint8 [n, 3, S, S] to the model's input [n, 3, side, side]: zoom, shift, normalise.

    Half of the images that may be `mirrored`, bool [n], are.
    """
    n = len(batch)
    zoom = rng.uniform(0.88, 1.06, (n, 2))
    zoom[:, 0] *= np.where((rng.random(n) < 0.5) & mirrored, -1, 1)
    move = np.zeros((n, 2, 3), np.float32)
    move[:, 0, 0], move[:, 1, 1] = zoom.T
    move[:, :, 2] = rng.uniform(-0.1, 0.1, (n, 2))
    turns = torch.from_numpy(move).to(batch.device)
    grid = functional.affine_grid(turns, [n, 3, side, side], align_corners=False)
    pixels = functional.grid_sample(
        batch.float() / 255, grid, "bicubic", padding_mode="reflection", align_corners=False
    ).clamp(0, 1)
    mean, std = (
        torch.tensor(PREPROCESSING[key], device=batch.device)[:, None, None]
        for key in ("mean", "std")
    )
    normal: Tensor = (pixels - mean) / std
    return normal
