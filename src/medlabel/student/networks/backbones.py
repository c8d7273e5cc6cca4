"""Networks made for ImageNet, from torchvision and timm, adapted to small and grey images.

| name | what it is |
| --- | --- |
| `alexnet`, `vgg11` to `vgg19` (also `_bn`), `resnet18` to `resnet152` | torchvision's |
| `timm:mobilenetv3_small_100`, ... | any of timm's models (`timm.list_models()`) |
| any of them with `+pretrained` | starts from the weights that torchvision or timm publish |

These networks halve their input five times, so images smaller than 112 pixels are enlarged to 112
pixels inside the module: half of the size that the networks were designed for, at a quarter of the
cost. A ResNet that is trained from scratch on fewer than 64 pixels is not enlarged: its first
convolution becomes 3x3 with stride 1, and the max-pooling after it is removed, as in the ResNets
for CIFAR of He et al. (2016).

Without published weights, the first layer has as many input channels as the images. Published
weights are used unchanged: a grey image is repeated to three channels, each normalised as in the
training of the weights. Summing the first layer's weights over the channels, as timm does for
`in_chans=1`, aims at the same result but differs at the padded edges, where a zero stands for
another grey value in each channel.

timm has all of these networks but AlexNet. torchvision's names stay torchvision's, because bundles
store them: timm's `vgg11` has a convolutional head (6 of 22 tensors have other names), its
`resnet18` initialises 8 of 122 tensors differently from the same seed, and the default weights of
its ResNets are others. So students would change, and saved ones would not load.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from medlabel.errors import MedlabelError

__all__ = ["TORCHVISION", "Backbone", "parse_backbone", "without_pretrained_weights"]

PRETRAINED, TIMM = "+pretrained", "timm:"
TORCHVISION = (
    "alexnet",
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
)
MIN_SIZE = 112  # pixels; smaller images are enlarged
SMALL_SIZE = 64  # pixels; a ResNet for smaller images has another first layer
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation, in 0..1

_load_pretrained: ContextVar[bool] = ContextVar("load_pretrained", default=True)


@contextmanager
def without_pretrained_weights() -> Iterator[None]:
    """Within this context, `+pretrained` networks are built without downloading their weights.

    For loading a bundle, which contains all weights.
    """
    token = _load_pretrained.set(False)
    try:
        yield
    finally:
        _load_pretrained.reset(token)


class InputAdapter(nn.Module):
    """Resizes and normalises pixels, float32 [N, C, S, S] in -1..1, for a network.

    Args:
        side: in pixels; smaller images are enlarged to it, bilinearly.
        fixed_size: whether larger images are shrunk to it, too.
        statistics: mean and standard deviation of each channel in 0..1, by which images are
            normalised; grey images get three channels. They are saved with the weights, so that a
            bundle does not depend on timm's configuration of a model.
    """

    def __init__(
        self,
        side: int,
        fixed_size: bool = False,
        statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.side, self.fixed_size, self.normalises = side, fixed_size, statistics is not None
        if statistics is not None:
            mean, deviation = (torch.tensor(part).view(1, 3, 1, 1) for part in statistics)
            self.register_buffer("mean", 2 * mean - 1)
            self.register_buffer("deviation", 2 * deviation)

    def forward(self, pixels: Tensor) -> Tensor:
        """Float32 [N, C or 3, side or more, side or more]."""
        side = pixels.shape[-1]
        if side < self.side or (self.fixed_size and side != self.side):
            size = (self.side, self.side)
            pixels = functional.interpolate(
                pixels, size, mode="bilinear", antialias=side > self.side
            )
        if self.normalises:  # [N, 1, ...] is broadcast against [1, 3, ...]
            pixels = (pixels - cast(Tensor, self.mean)) / cast(Tensor, self.deviation)
        return pixels


@dataclass(frozen=True)
class Backbone:
    """A network by its name (see the table of this module); calling it builds the module."""

    name: str
    pretrained: bool = False

    def __str__(self) -> str:
        return self.name + PRETRAINED * self.pretrained

    def __call__(self, channels: int, classes: int, size: int = 28) -> nn.Sequential:
        """The module: float32 [N, channels, S, S] in -1..1 to logits [N, classes].

        Args:
            channels: 1 or 3.
            classes: number of logits.
            size: side of the images in pixels, on which the first layer of a ResNet depends.

        Raises:
            MedlabelError: published weights are needed and cannot be loaded.
        """
        if self.name.startswith(TIMM):
            return _from_timm(self, channels, classes)
        if self.pretrained:
            return nn.Sequential(
                InputAdapter(MIN_SIZE, statistics=_IMAGENET),
                _torchvision_pretrained(self.name, classes),
            )
        network = _torchvision_model(self.name, classes)
        small = self.name.startswith("resnet") and size < SMALL_SIZE
        _adapt_first_layer(network, channels, small)
        return nn.Sequential(InputAdapter(1 if small else MIN_SIZE), network)


def parse_backbone(text: str) -> Backbone | None:
    """The network with this name; None if it is neither one of torchvision's nor of timm's.

    Raises:
        MedlabelError: timm has no such model or no weights of it; the message has similar names.
    """
    name = text.removesuffix(PRETRAINED)
    if name in TORCHVISION:
        return Backbone(name, name != text)
    if not name.startswith(TIMM):
        return None
    timm, model = _timm(), name.removeprefix(TIMM)
    if not timm.is_model(model):
        near = ", ".join(get_close_matches(model, timm.list_models(), n=5)) or "none"
        raise MedlabelError(
            f"timm has no model {model!r} (names like it: {near}); "
            "`python -c 'import timm; print(timm.list_models())'` lists all"
        )
    if name != text and not timm.models.is_model_pretrained(model):
        raise MedlabelError(f"timm has no weights of {model}: write {name}, without {PRETRAINED}")
    return Backbone(name, name != text)


# --- torchvision ---------------------------------------------------------------------------------


def _torchvision_model(name: str, classes: int) -> nn.Module:
    import medlabel._torchvision  # noqa: F401  (before torchvision)
    from torchvision import models  # isort: skip

    return cast(nn.Module, models.get_model(name, weights=None, num_classes=classes))


def _adapt_first_layer(network: Any, channels: int, small: bool) -> None:
    """Set the number of input channels; `small` also makes a ResNet's first layer 3x3, unpooled."""
    resnet = hasattr(network, "conv1")
    old = network.conv1 if resnet else network.features[0]
    if channels == old.in_channels and not small:
        return
    kernel, stride, padding = (3, 1, 1) if small else (old.kernel_size, old.stride, old.padding)
    bias = old.bias is not None
    new = nn.Conv2d(channels, old.out_channels, kernel, stride, padding, bias=bias)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's
    if resnet:
        network.conv1 = new
        network.maxpool = nn.Identity() if small else network.maxpool
    else:
        network.features[0] = new


def _torchvision_pretrained(name: str, classes: int) -> nn.Module:
    """A network with torchvision's weights in all layers but the last."""
    network = _torchvision_model(name, classes)
    if not _load_pretrained.get():
        return network
    head = [key for key in network.state_dict() if key.startswith(("fc.", "classifier.6."))]
    body = {key: value for key, value in download_weights(name).items() if key not in head}
    missing, unexpected = network.load_state_dict(body, strict=False)
    if missing != head or unexpected:
        raise MedlabelError(f"the weights of {name} are not those of this torchvision's {name}")
    return network


def download_weights(name: str) -> Mapping[str, Tensor]:
    """Torchvision's weights of a network: from its cache, or downloaded and checked by their hash.

    Raises:
        MedlabelError: the download failed or the file is damaged; the message says what to do.
    """
    import medlabel._torchvision  # noqa: F401  (before torchvision)
    from torchvision import models  # isort: skip

    weights = models.get_model_weights(name).DEFAULT
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # of any kind: no network, a proxy's error page, a damaged file
        raise MedlabelError(
            f"{name}{PRETRAINED}: no weights ({_reason(error)}); where there is a network, "
            f"download {weights.url} and put it into {torch.hub.get_dir()}/checkpoints, or write "
            f"{name} to start from scratch"
        ) from error
    return cast(Mapping[str, Tensor], state)


# --- timm ----------------------------------------------------------------------------------------


def _timm() -> Any:
    import medlabel._torchvision  # noqa: F401  (before timm, which imports torchvision)
    import timm  # isort: skip

    return timm


def _from_timm(backbone: Backbone, channels: int, classes: int) -> nn.Sequential:
    """An input adapter and a model of timm's, which adapts its first and last layer itself."""
    name = backbone.name.removeprefix(TIMM)
    if not backbone.pretrained:
        network = _timm().create_model(name, num_classes=classes, in_chans=channels)
    else:
        network = _create_pretrained(_timm().create_model, name, classes)
    facts = network.pretrained_cfg
    native = facts["input_size"][-1]
    fixed_size = bool(facts.get("fixed_input_size"))
    side = native if fixed_size else min(MIN_SIZE, native)
    statistics = (tuple(facts["mean"]), tuple(facts["std"])) if backbone.pretrained else None
    return nn.Sequential(InputAdapter(side, fixed_size, statistics), network)


def _create_pretrained(create: Callable[..., nn.Module], name: str, classes: int) -> Any:
    try:
        return create(name, pretrained=_load_pretrained.get(), num_classes=classes)
    except Exception as error:  # of any kind: the hub's client raises many
        raise MedlabelError(
            f"{TIMM}{name}{PRETRAINED}: no weights ({_reason(error)}); where there is a network, "
            f"run `python -c \"import timm; timm.create_model('{name}', pretrained=True)\"` and "
            f"copy the hub's cache (HF_HOME) here, or write {TIMM}{name} to start from scratch"
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
