"""A small encoder of images of any kind, whose features tell kinds of images apart.

A student learns to tell the classes of its task apart, and forgets what it does not need for that;
its features therefore hardly tell images of other kinds from its own. This encoder was trained to
recognise all twelve drawn looks, class by class, random textures and shapes, and whether an image
was turned or inverted (`training.py` in this folder). It never saw a real image. Its weights,
190 kB, come with medlabel, and every bundle keeps those that it was calibrated with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from medlabel.student.outsiders.junk import SIDE

__all__ = ["WIDTHS", "Encoder", "hidden_layer", "shipped_encoder", "stages"]

WIDTHS = (24, 48, 64, 96)  # feature maps of the three convolutions, units of the hidden layer
_GRID = 3  # the last feature maps are averaged to this many cells per side
_FILE = "encoder.safetensors"


def stages(pixels: Tensor, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the feature maps of the three convolutions of float32 [N, C, 28, 28] in -1..1."""
    first = F.relu(F.conv2d(pixels, weights["weight1"], weights["bias1"], stride=2, padding=1))
    second = F.relu(F.conv2d(first, weights["weight2"], weights["bias2"], stride=2, padding=1))
    return [first, second, F.relu(F.conv2d(second, weights["weight3"], weights["bias3"]))]


def hidden_layer(maps: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Return the hidden layer, float32 [N, 96], of the last feature maps [N, 64, H, W]."""
    cells = F.adaptive_avg_pool2d(maps, _GRID).flatten(1)
    return F.relu(F.linear(cells, weights["weight4"], weights["bias4"]))


@dataclass(frozen=True)
class Encoder:
    """Weights of the encoder for grey or for colour images.

    Attributes:
        weights: `weight1` float32 [24, C, 4, 4] with C of 1 or 3, and so on; see `stages`.
    """

    weights: Mapping[str, Tensor]
    _placed: dict[str, Mapping[str, Tensor]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> "Encoder":
        """Make an encoder of stored weights, of any floating-point type."""
        fast = {4: torch.channels_last}  # the memory format in which convolutions run fastest
        return cls(
            {
                name: value.float().contiguous(
                    memory_format=fast.get(value.ndim, torch.contiguous_format)
                )
                for name, value in weights.items()
            }
        )

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8], device: str = "cpu") -> NDArray[np.float32]:
        """Return features float32 [N, D]: means and deviations of pixels and maps, hidden layer.

        D is 370 for grey images and 378 in colour, where differences of channels count, too.

        Args:
            images: uint8 [N, S, S] or [N, S, S, 3], of any S; they are averaged down to 28 x 28.
            device: torch device to compute on.
        """
        weights = self._on(device)
        channels = weights["weight1"].shape[1]
        stack = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        stack = stack.reshape(*images.shape[:3], channels)
        pixels = (stack.permute(0, 3, 1, 2).float() - 127.5) / 127.5  # in channels-last memory
        if pixels.shape[-1] != SIDE:
            pixels = F.interpolate(pixels, (SIDE, SIDE), mode="area")
        maps = stages(pixels, weights)
        features = [
            value
            for found in (_with_differences(pixels), *maps)
            for value in _mean_and_deviation(found)
        ]
        found = torch.cat([*features, hidden_layer(maps[-1], weights)], dim=1)
        return np.asarray(found.cpu().numpy(), dtype=np.float32)

    def _on(self, device: str) -> Mapping[str, Tensor]:
        """Return the weights on a device."""
        if device not in self._placed:
            self._placed[device] = {n: value.to(device) for n, value in self.weights.items()}
        return self._placed[device]


def _with_differences(pixels: Tensor) -> Tensor:
    """Return pixels [N, C, H, W] and, in colour, red and blue without green: [N, C + 2, H, W]."""
    if pixels.shape[1] == 1:
        return pixels
    return torch.cat([pixels, pixels[:, ::2] - pixels[:, 1:2]], dim=1)


def _mean_and_deviation(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations [N, C] of maps [N, C, H, W]; faster than std_mean."""
    cells = maps.flatten(2)
    mean = cells.mean(dim=2)
    return mean, ((cells * cells).mean(dim=2) - mean * mean).clamp_min(0).sqrt()


@cache
def shipped_encoder(channels: int) -> Encoder:
    """Return the encoder that comes with medlabel, for grey (1) or colour images (3)."""
    data = (files("medlabel.student.outsiders") / _FILE).read_bytes()
    weights = {name: value.float() for name, value in safetensors.torch.load(data).items()}
    if channels == 1:  # equal channels have the same effect as one with the sum of their weights
        summed = weights["weight1"].sum(dim=1, keepdim=True)
        weights["weight1"] = summed.half().float()  # as a bundle stores it
    return Encoder.of(weights)
