"""A family of small CNNs, each written as a string.

`cnn:16-32-64,kernel=3,norm=batch,linear=,dropout=0.2` has three convolutions with 16, 32 and 64
feature maps. Every setting after them is optional:

| key | meaning | default |
| --- | --- | --- |
| `kernel` | kernel size in pixels | 3 |
| `padding` | `half` of the kernel size, or `none` | half |
| `norm` | normalisation after a convolution: `none`, `batch` or `group` | batch |
| `pool` | size of the max-pooling after a convolution; 1 for none | 2, and 1 after the last |
| `order` | of activation and pooling: `relu-pool` or `pool-relu` | relu-pool |
| `grid` | output size of the adaptive average pooling at the end | 1 |
| `linear` | widths of the hidden linear layers, such as 250-50 | none |
| `dropout` | probability of dropping an input of a linear layer | 0.2 |

`kernel` and `pool` take one number for all convolutions, or one for each (3-4). The configuration
of a bundle stores this string, so the defaults must never change. timm has no such family: it
builds models by name, and its options do not reach the number and size of plain convolutions.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from medlabel.errors import MedlabelError

__all__ = ["Cnn", "parse_cnn"]

PREFIX = "cnn:"
_ALLOWED = (
    "write cnn:16-32-64 and, with commas, any of kernel=3, padding=half|none, "
    "norm=none|batch|group, pool=2-2-1, order=relu-pool|pool-relu, grid=1, linear=250-50, "
    "dropout=0.2"
)
_CHOICES = {
    "padding": ("half", "none"),
    "norm": ("none", "batch", "group"),
    "order": ("relu-pool", "pool-relu"),
}
_MAX_WEIGHTS = 100_000_000  # checked first, for a string may come from an untrusted bundle
_GROUPS = 8


@dataclass(frozen=True)
class Cnn:
    """A network of the family; calling it builds the module, and `str` gives its string.

    Attributes:
        maps: number of feature maps after each convolution.
        kernel: kernel size of each convolution, or one for all.
        padding: `half` of the kernel size (rounded down) at each edge, or `none`.
        norm: `batch`, `group` (8 groups, or the greatest common divisor of 8 and the number of
            maps; Wu & He 2018) or `none`. A convolution has a bias only with `none`.
        pool: size of the max-pooling after each convolution, or one for all; empty for 2, and 1
            after the last.
        order: whether activation or pooling comes first. ReLU and maximum commute, so the values
            are the same; pooling first is less work.
        grid: output size of the adaptive average pooling after the convolutions.
        linear: widths of the hidden linear layers.
        dropout: probability, before each linear layer.

    Raises:
        MedlabelError: a value is not allowed; the message lists those that are.
    """

    maps: tuple[int, ...] = (16, 32, 64)
    kernel: tuple[int, ...] = (3,)
    padding: Literal["half", "none"] = "half"
    norm: Literal["none", "batch", "group"] = "batch"
    pool: tuple[int, ...] = ()
    order: Literal["relu-pool", "pool-relu"] = "relu-pool"
    grid: int = 1
    linear: tuple[int, ...] = ()
    dropout: float = 0.2

    def __post_init__(self) -> None:
        n = len(self.maps)
        object.__setattr__(self, "kernel", _for_all(self.kernel, n))
        object.__setattr__(self, "pool", _for_all(self.pool or _default_pool(n), n))
        if reason := next(self._faults(), None):
            raise MedlabelError(f"no such CNN: {reason}; {_ALLOWED}")

    def __str__(self) -> str:
        default = Cnn(self.maps)
        settings = [
            f"{field.name}={_spell(field.name, getattr(self, field.name))}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        ]
        return ",".join([PREFIX + "-".join(map(str, self.maps)), *settings])

    def __call__(self, channels: int, classes: int, size: int = 28) -> nn.Sequential:
        """The module: float32 [N, channels, S, S] to logits [N, classes], any S from `size` on.

        Raises:
            MedlabelError: images of `size` pixels are too small for this network.
        """
        self._check_fits(size)
        inputs = (channels, *self.maps)
        blocks = [self._block(i, inputs[i], outputs) for i, outputs in enumerate(self.maps)]
        layers = [layer for block in blocks for layer in block]
        layers += [_Grid(self.grid), nn.Flatten()]
        for before, after in pairwise((*self._widths(), classes)):
            layers += [nn.Dropout(self.dropout), nn.Linear(before, after), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers[:-1])  # no ReLU after the logits

    def _block(self, index: int, inputs: int, outputs: int) -> Iterator[nn.Module]:
        """A convolution with its normalisation, activation and pooling."""
        kernel = self.kernel[index]
        padding = kernel // 2 if self.padding == "half" else 0
        yield nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=self.norm == "none")
        if self.norm == "batch":
            yield nn.BatchNorm2d(outputs)
        elif self.norm == "group":
            yield nn.GroupNorm(math.gcd(_GROUPS, outputs), outputs)
        pool = [nn.MaxPool2d(self.pool[index])] if self.pool[index] > 1 else []
        relu = nn.ReLU(inplace=True)
        yield from [relu, *pool] if self.order == "relu-pool" else [*pool, relu]

    def _widths(self) -> tuple[int, ...]:
        """Input widths of the linear layers."""
        return (self.maps[-1] * self.grid**2, *self.linear)

    def _faults(self) -> Iterator[str]:
        """What is wrong with the values, one reason each."""
        n = len(self.maps)
        for name in ("maps", "kernel", "pool", "linear"):
            if not all(value > 0 for value in getattr(self, name)):
                yield f"{name} has to be whole numbers above 0"
            if name in ("kernel", "pool") and len(getattr(self, name)) != n:
                yield f"{name} has to be one number, or one for each convolution ({n})"
        if not n or self.grid < 1:
            yield "there has to be a convolution, and a grid of 1 or more"
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                yield f"{name}={getattr(self, name)} is unknown"
        if not 0 <= self.dropout < 1:
            yield f"dropout={self.dropout} is not from 0 to below 1"
        if self._weights() > _MAX_WEIGHTS:
            yield f"it has {self._weights():,} weights, more than {_MAX_WEIGHTS:,}"

    def _weights(self) -> int:
        """Number of weights for colour images and two classes, without biases and normalisation."""
        pairs = zip(pairwise((3, *self.maps)), self.kernel, strict=True)
        filters = sum(before * after * kernel**2 for (before, after), kernel in pairs)
        return filters + sum(before * after for before, after in pairwise((*self._widths(), 2)))

    def _check_fits(self, size: int) -> None:
        """Raise a `MedlabelError` if the convolutions leave no pixel of images of `size` pixels."""
        side = size
        for index, (kernel, pool) in enumerate(zip(self.kernel, self.pool, strict=True)):
            padding = kernel // 2 if self.padding == "half" else 0
            side = (side + 2 * padding - kernel + 1) // pool
            if side < 1:
                raise MedlabelError(
                    f"{self}: of {size} pixels, none is left after convolution {index + 1}; "
                    "pool less (pool=1), or train on larger images (`medlabel run --size`, or "
                    "`size:` in a YAML file)"
                )


class _Grid(nn.AdaptiveAvgPool2d):
    """Adaptive average pooling that costs nothing for maps which have the output size already."""

    def forward(self, input: Tensor) -> Tensor:
        return (
            input
            if input.shape[-1] == input.shape[-2] == self.output_size
            else super().forward(input)
        )


def parse_cnn(text: str) -> Cnn:
    """Parse the string of a network (see the table of this module): `parse_cnn(str(cnn)) == cnn`.

    Raises:
        MedlabelError: the string is malformed; the message says what is allowed.
    """
    maps, *settings = text.removeprefix(PREFIX).split(",")
    values: dict[str, Any] = {"maps": _read(text, "maps", maps, _numbers)}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in _READERS or name in values:
            raise MedlabelError(f"{text}: cannot read {setting!r}; {_ALLOWED}")
        values[name] = _read(text, name, value, _READERS[name])
    return Cnn(**values)


def _read(text: str, name: str, value: str, reader: Callable[[str], Any]) -> Any:
    try:
        return reader(value)
    except ValueError as error:
        raise MedlabelError(f"{text}: cannot read {name} {value!r}; {_ALLOWED}") from error


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-")) if text else ()


_READERS: dict[str, Callable[[str], Any]] = {
    "kernel": _numbers,
    "pool": _numbers,
    "linear": _numbers,
    "grid": int,
    "dropout": float,
    **dict.fromkeys(_CHOICES, str),
}


def _spell(name: str, value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    one_for_all = name in ("kernel", "pool") and len(set(value)) == 1
    return "-".join(map(str, value[:1] if one_for_all else value))


def _default_pool(n: int) -> tuple[int, ...]:
    return (*(2,) * (n - 1), 1)


def _for_all(values: tuple[int, ...], n: int) -> tuple[int, ...]:
    return values * n if len(values) == 1 else values
