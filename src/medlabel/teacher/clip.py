"""Load CLIP models by name, and embed images and captions with them.

| name | model |
| --- | --- |
| `phantom` | the small CLIP that medlabel trains on phantoms |
| `phantom-1`, `phantom-2`, … | the same with other seeds, for votes of several teachers |
| `ViT-L/14`, `RN50x64`, … | the paper's eight, with OpenAI's weights (downloaded once) |
| `ViT-B-16:laion2b_s34b_b88k` | any open_clip architecture and pretrained tag |
| `ViT-B-32:weights.pt` | an open_clip architecture with weights from a file, trained with GELU |
| `ViT-B-32-quickgelu:weights.pt` | the same, trained with QuickGELU |
| `hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224` | a model on the Hub |
| `folder/` | an open_clip model folder (`open_clip_config.json` and weights) |
| `ViT-B-32.pt` | a checkpoint in OpenAI's format; its architecture is read from the weights |
| any of these with `+views` | test-time augmentation: the mean of five shifted views |
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import medlabel._torchvision  # noqa: F401  (before torchvision)

from torchvision.transforms import v2  # isort: skip

from medlabel import versions
from medlabel.data.framing import Framing
from medlabel.errors import MedlabelError
from medlabel.storage.device import default_device
from medlabel.storage.digests import hex_digest, hex_digest_of_pieces
from medlabel.teacher.phantom_clip import is_phantom
from medlabel.teacher.zoo.checkpoints import PAPER_MODELS, load_model, resolve_clip

__all__ = ["PAPER_MODELS", "VIEWS", "Clip", "base_name", "check_clip", "load_clip", "resolve_clip"]

VIEWS = "+views"
"""Suffix of a model's name for test-time augmentation (see `Clip`)."""

_MOVES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))  # shifts down and right, in 28ths of the side
_MODES = {"bicubic": v2.InterpolationMode.BICUBIC, "bilinear": v2.InterpolationMode.BILINEAR}
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_PREPROCESS_FIELDS = ("size", "mean", "std", "interpolation", "resize_mode")


@dataclass(frozen=True)
class Clip:
    """A loaded CLIP: the model, its tokenizer, and the preprocessing it was trained with.

    Attributes:
        name: of the model, without `+views`.
        model: in evaluation mode.
        tokenizer: maps captions to token ids.
        device: for torch.
        precision: `fp32`, `fp16` or `bf16`.
        views: test-time augmentation: the embedding is the normalised mean of five views, the
            image and its shifts by a 28th of the side in four directions. There is no mirroring,
            because the mirror image of a chest is not a normal chest.
        architecture: what decides the model besides its weights; it becomes part of `key`.
        remarks: sentences on what had to be assumed to load it (`zoo.checkpoints`).
    """

    name: str
    model: nn.Module
    tokenizer: Callable[[list[str]], Tensor]
    device: str
    precision: str = "fp32"
    views: bool = False
    architecture: str = ""
    remarks: tuple[str, ...] = ()

    @cached_property
    def weights_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of all weights, by name: what an embedding is of."""
        weights = sorted(self.model.state_dict().items())
        pairs = ((key.encode(), _bytes_of(tensor)) for key, tensor in weights)
        return hex_digest_of_pieces(chain.from_iterable(pairs))[:16]

    @cached_property
    def key(self) -> str:
        """Identifies the embeddings of this model by hashes of all that decides them.

        Weights alone are not enough: the same weights with GELU and with QuickGELU are two models,
        so the architecture is included. The releases of torch and open_clip are not.
        """
        visual: Any = self.model.visual
        config = {name: visual.preprocess_cfg.get(name) for name in _PREPROCESS_FIELDS}
        decisive = [self.architecture, config, versions.PREPROCESSING]
        how = hex_digest(json.dumps(decisive, sort_keys=True, default=str), 8)
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", Path(self.name).name).strip("-")
        precision = "" if self.precision == "fp32" else f"-{self.precision}"
        return f"{slug}-{self.weights_hash}-{how}{precision}{'-views' if self.views else ''}"

    def to(self, device: str) -> "Clip":
        """Move the model to another device."""
        return replace(self, model=self.model.to(device), device=device)

    @cached_property
    def logit_scale(self) -> float:
        """Factor of the cosine similarities in the softmax, 100 in OpenAI's models."""
        scale: Any = self.model.logit_scale
        return float(scale.detach().exp())

    @cached_property
    def framing(self) -> Framing:
        """The framing that makes images of any shape square, before `preprocess`."""
        visual: Any = self.model.visual
        config: dict[str, Any] = visual.preprocess_cfg
        mode = config.get("resize_mode") or "shortest"
        return Framing(self.size, mode, config["interpolation"])

    @cached_property
    def preprocess(self) -> v2.Transform:
        """Transform from uint8 [B, C, S, S] to float32 [B, C, size, size], on any device.

        For square images it equals open_clip's transform, because the resize modes (shortest,
        longest, squash) only differ for others.
        """
        visual: Any = self.model.visual
        config: dict[str, Any] = visual.preprocess_cfg
        return v2.Compose(
            [
                v2.Resize([self.size, self.size], _MODES[config["interpolation"]], antialias=True),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(config["mean"]), list(config["std"])),
            ]
        )

    @cached_property
    def size(self) -> int:
        """Side of the model's input in pixels."""
        visual: Any = self.model.visual
        size: int | Sequence[int] = visual.preprocess_cfg["size"]
        return size if isinstance(size, int) else int(size[0])

    @cached_property
    def image_weights(self) -> int:
        """Number of parameters of the image tower, roughly proportional to the cost per image."""
        visual: Any = self.model.visual
        return sum(int(weight.numel()) for weight in visual.parameters())

    def embed_images(self, images: NDArray[np.uint8], batch_size: int = 64) -> NDArray[np.float32]:
        """Embed images.

        Every batch is padded to `batch_size`, so that an embedding does not depend on the number
        of images. If a batch does not fit in memory, the batch size is halved.

        Args:
            images: uint8 [N, S, S] or [N, S, S, 3].
            batch_size: images per forward pass.

        Returns:
            Embeddings of unit length, float32 [N, D].

        Raises:
            MedlabelError: a single image does not fit in memory.
        """
        parts, start = [], 0
        while start < len(images):
            batch = images[start : start + batch_size]
            try:
                parts.append(self._embed_batch(batch, batch_size))
            except torch.OutOfMemoryError as error:
                if batch_size == 1:
                    raise MedlabelError(f"{self.device} has no memory for one image") from error
                batch_size //= 2
                continue
            start += len(batch)
        return np.concatenate(parts)

    @torch.inference_mode()
    def _embed_batch(self, batch: NDArray[np.uint8], rows: int) -> NDArray[np.float32]:
        """Encode at the model's precision; normalise in float32."""
        encode: Any = self.model.encode_image
        pixels = self.preprocess(self._to_tensor(batch, rows))
        kind = torch.device(self.device).type
        with torch.autocast(kind, _DTYPES[self.precision], enabled=self.precision != "fp32"):
            views = [encode(view) for view in (_shifted_views(pixels) if self.views else (pixels,))]
        unit_length = [functional.normalize(view[: len(batch)].float(), dim=1) for view in views]
        mean = torch.stack(unit_length).mean(0) if self.views else unit_length[0]
        return np.asarray(functional.normalize(mean, dim=1).cpu())

    def _to_tensor(self, batch: NDArray[np.uint8], rows: int) -> Tensor:
        """Convert to uint8 [rows, 3, S, S] on the device, padded with black images."""
        stack = batch if batch.ndim == 4 else batch[..., None]
        padding = [(0, rows - len(stack)), (0, 0), (0, 0), (0, 0)]
        tensor = torch.from_numpy(np.pad(stack, padding)).to(self.device)
        return tensor.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous()

    @torch.inference_mode()
    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """Embed K captions as float32 [K, D] of unit length."""
        encode: Any = self.model.encode_text
        tokens = self.tokenizer(list(captions)).to(self.device)
        return np.asarray(encode(tokens, normalize=True).float().cpu())


def _shifted_views(pixels: Tensor) -> Iterator[Tensor]:
    """Yield the views of a batch [N, C, S, S]: shifted by a 28th of the side, edges repeated."""
    step = max(1, round(pixels.shape[-1] / 28))
    wide = functional.pad(pixels, (step, step, step, step), mode="replicate")
    side = pixels.shape[-1]
    for down, right in _MOVES:
        top, left = step * (1 + down), step * (1 + right)
        yield wide[..., top : top + side, left : left + side]


def base_name(name: str) -> str:
    """Return a model's name without the suffix `+views`.

    >>> base_name("ViT-L/14+views")
    'ViT-L/14'
    """
    return name.removesuffix(VIEWS)


def load_clip(name: str, device: str | None = None, precision: str = "fp32") -> Clip:
    """Load a CLIP.

    Args:
        name: see the table in this module; for `phantom`, give the folder of the trained model.
        device: for torch; `default_device()` if None.
        precision: `fp32`, `fp16` or `bf16`.

    Raises:
        MedlabelError: the model is unknown, its file is damaged, or the download failed.
    """
    _check_precision(precision)
    device = device or default_device()
    base = base_name(name)
    loaded = load_model(base)
    return Clip(
        base, loaded.model.to(device).eval(), loaded.tokenizer, device, precision, base != name,
        loaded.architecture, loaded.remarks,
    )  # fmt: skip


def check_clip(name: str, precision: str = "fp32") -> None:
    """Raise a `MedlabelError` for a name or precision that `load_clip` does not know.

    Nothing is downloaded or read, so that mistakes are reported before hours of work.
    """
    _check_precision(precision)
    base = base_name(name)
    if not is_phantom(base) and not Path(base).is_file():
        resolve_clip(base)


def _check_precision(precision: str) -> None:
    if precision not in _DTYPES:
        raise MedlabelError(f"unknown precision {precision!r}: choose from {', '.join(_DTYPES)}")


def _bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().float().contiguous().numpy().tobytes()
