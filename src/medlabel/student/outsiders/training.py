"""Train the encoder on drawn images: `python -m medlabel.student.outsiders.training FILE`.

Three tasks share the encoder: which class of which drawn look it is (or which kind of junk),
whether it was turned by a quarter, a half or three quarters, and whether it was inverted. Some of
the coloured images are made grey, so that the encoder serves grey students and coloured ones.
It takes a few minutes on one core; the file is then kept in this folder.
"""

import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medlabel import phantoms
from medlabel.student.outsiders.encoder import WIDTHS, hidden_layer
from medlabel.student.outsiders.junk import junk

__all__ = ["train_encoder"]

_PER_LOOK, _JUNK = 2000, 4000
_BATCH, _RATE, _DECAY = 128, 5e-3, 2e-2
_SEED = 20_000  # of the drawings: no task uses such a seed


class _Net(nn.Module):
    """The encoder with batch normalisation, and one linear head for each of the three tasks."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        shapes = [(WIDTHS[0], 3, 4), (WIDTHS[1], WIDTHS[0], 3), (WIDTHS[2], WIDTHS[1], 3)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel, bias=False) for after, before, kernel in shapes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for after, _, _ in shapes)
        self.hidden = nn.Linear(9 * WIDTHS[2], WIDTHS[3])
        self.heads = nn.ModuleList(nn.Linear(WIDTHS[3], n) for n in (kinds, 4, 2))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return the logits of kind, turn and inversion of float32 [N, 3, 28, 28] in -1..1."""
        settings = ((2, 1), (2, 1), (1, 0))  # stride and padding, as in `stages`
        for layer, norm, (stride, padding) in zip(
            self.convolutions, self.norms, settings, strict=True
        ):
            weight = layer.weight
            assert isinstance(weight, Tensor)
            pixels = F.relu(norm(F.conv2d(pixels, weight, stride=stride, padding=padding)))
        named = {"weight4": self.hidden.weight, "bias4": self.hidden.bias}
        found = hidden_layer(pixels, named)
        return [head(found) for head in self.heads]

    @torch.no_grad()
    def folded(self) -> dict[str, Tensor]:
        """Return the weights of `stages` and `hidden_layer`: the normalisation is folded in."""
        weights = {"weight4": self.hidden.weight, "bias4": self.hidden.bias}
        for number, (layer, norm) in enumerate(zip(self.convolutions, self.norms, strict=True), 1):
            assert isinstance(layer, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_var is not None
            assert norm.running_mean is not None
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weights[f"weight{number}"] = layer.weight * scale[:, None, None, None]
            weights[f"bias{number}"] = norm.bias - norm.running_mean * scale
        return {name: value.detach().half().contiguous() for name, value in weights.items()}


def _training_set() -> tuple[Tensor, Tensor, int]:
    """Return pixels float32 [N, 3, 28, 28], kinds int64 [N], and the number of drawn images.

    The drawn images come first.
    """
    images, kinds = list[Tensor](), list[np.ndarray]()
    for look in phantoms.LOOKS.values():
        drawn, found = phantoms.draw_look(look, _PER_LOOK, _SEED, even=True)
        images.append(_to_pixels(drawn))
        kinds.append(found + sum(len(known.kinds) for known in _before(look.flag)))
    drawn_count = sum(map(len, images))
    rng, known = np.random.default_rng(_SEED), sum(len(one.kinds) for one in _before(None))
    for number, colour in enumerate((False, True)):
        images.append(_to_pixels(junk(rng, _JUNK, colour)))
        kinds.append(np.full(_JUNK, known + number))
    return torch.cat(images), torch.from_numpy(np.concatenate(kinds)), drawn_count


def _before(flag: str | None) -> list[phantoms.Look]:
    """Return the looks before the one with this flag, or all."""
    flags = list(phantoms.LOOKS)
    return [phantoms.LOOKS[one] for one in flags[: flags.index(flag) if flag else None]]


def _to_pixels(images: np.ndarray) -> Tensor:
    wide = images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)
    stack = torch.from_numpy(np.ascontiguousarray(wide)).permute(0, 3, 1, 2)
    return (stack.float() - 127.5) / 127.5


def _augmented(pixels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return augmented pixels, the quarters by which each was turned, and if it was inverted."""
    n = len(pixels)

    def some(share: float) -> Tensor:
        return torch.from_numpy(rng.random(n) < share)[:, None, None, None]

    def each(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (n, 1, 1, 1))).float()

    turns = torch.from_numpy(np.where(rng.random(n) < 0.5, 0, rng.integers(0, 4, n)))
    turned = torch.stack(
        [torch.rot90(x, int(k), (1, 2)) for x, k in zip(pixels, turns, strict=True)]
    )
    inverted = some(0.2)
    pixels = torch.where(inverted, -turned, turned)
    grey = (pixels * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    pixels = torch.where(some(0.4), grey.expand_as(pixels), pixels)
    pixels = torch.where(some(0.6), _moved(pixels, rng), pixels)
    grain = torch.from_numpy(rng.choice([0, 0, 0.03, 0.08], (n, 1, 1, 1))).float()
    noise = torch.from_numpy(rng.normal(size=pixels.shape)).float()
    pixels = pixels * each(0.75, 1.25) + each(-0.15, 0.15) + grain * noise
    return pixels.clamp(-1, 1), turns.long(), inverted.flatten().long()


def _moved(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Zoomed and shifted at random."""
    n = len(pixels)
    zoom = torch.from_numpy(np.exp(rng.uniform(-0.25, 0.15, n))).float()
    maps = torch.zeros(n, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = zoom
    maps[:, :, 2] = torch.from_numpy(rng.uniform(-0.12, 0.12, (n, 2))).float()
    grid = F.affine_grid(maps, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def train_encoder(steps: int = 7000) -> dict[str, Tensor]:
    """Train the encoder; returns its weights as float16, by the names of `encoder.stages`."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pixels, kinds, drawn = _training_set()
    net = _Net(int(kinds.max()) + 1)
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, steps)
    for step in range(steps):
        rows = np.concatenate(
            [rng.integers(0, drawn, _BATCH * 4 // 5), rng.integers(drawn, len(pixels), _BATCH // 5)]
        )
        batch, turns, inverted = _augmented(pixels[rows], rng)
        which = kinds[rows]
        kind, turn, inversion = net(batch)
        upright = torch.from_numpy(rows < drawn)  # junk has no side that is up
        loss = F.cross_entropy(kind, which, label_smoothing=0.05)
        loss = loss + 0.5 * F.cross_entropy(turn[upright], turns[upright])
        loss = loss + 0.5 * F.cross_entropy(inversion[upright], inverted[upright])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            right = (kind.argmax(dim=1) == which).float().mean()
            print(  # noqa: T201 (a script)
                f"step {step}: loss {loss:.2f}, kinds right {right:.0%}", flush=True
            )
    return net.folded()


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(safetensors.torch.save(train_encoder()))
