"""Networks made for ImageNet, from torchvision and timm, adapted to small and grey images.

| name | what it is |
| --- | --- |
| `alexnet`, `vgg11` to `vgg19` (also `_bn`), `resnet18` to `resnet152` | torchvision's |
| `timm:mobilenetv3_small_100`, ... | any of timm's models (`timm.list_models()`) |
| any of them with `+pretrained` | starts from the weights that torchvision or timm publish |

They halve their input five times, so images smaller than 112 pixels are enlarged to 112 inside the
module; half of what they were made for, and a quarter of the work. A ResNet that starts from
scratch on fewer than 64 pixels is not enlarged: its first filters become 3x3 at every pixel, and
the pooling after them is left out, as in He et al.'s ResNets for CIFAR.

From scratch, the first layer has a filter for each channel of the images. Published weights are
taken as they are: a grey image is shown to them as three equal colours, each standardised as in
their training. That is what summing the first layer's weights over the colours is meant to do, but
it is exact at the padded edges too (a zero there means another grey in each colour), and it is the
same for every architecture.
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

__all__ = ["TORCHVISION", "Backbone", "blank", "parse_backbone"]

PRETRAINED, TIMM = "+pretrained", "timm:"
TORCHVISION = (
    "alexnet",
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
)
LEAST, SMALL = 112, 64  # pixels: what is enlarged to; below which a ResNet's stem is changed
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation, of 0..1

_with_weights: ContextVar[bool] = ContextVar("with_weights", default=True)


@contextmanager
def blank() -> Iterator[None]:
    """Within it, `+pretrained` networks are made without their weights, and nothing is downloaded.

    For what brings its own weights, as a bundle does.
    """
    token = _with_weights.set(False)
    try:
        yield
    finally:
        _with_weights.reset(token)


class Front(nn.Module):
    """Pixels -1..1, float32 [N, C, S, S], as a network wants to see them.

    Args:
        side: smaller images are enlarged to it, bilinearly.
        exact: larger ones are shrunk to it, too.
        standard: mean and deviation of each colour in 0..1; grey images get three colours. They are
            kept with the weights, so that a bundle does not depend on what timm says of a model.
    """

    def __init__(
        self,
        side: int,
        exact: bool = False,
        standard: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.side, self.exact, self.standardised = side, exact, standard is not None
        if standard is not None:
            mean, deviation = (torch.tensor(part).view(1, 3, 1, 1) for part in standard)
            self.register_buffer("mean", 2 * mean - 1)
            self.register_buffer("deviation", 2 * deviation)

    def forward(self, pixels: Tensor) -> Tensor:
        """Float32 [N, C or 3, side or more, side or more]."""
        side = pixels.shape[-1]
        if side < self.side or (self.exact and side != self.side):
            size = (self.side, self.side)
            pixels = functional.interpolate(
                pixels, size, mode="bilinear", antialias=side > self.side
            )
        if self.standardised:  # [N, 1, ...] against [1, 3, ...] gives three colours
            pixels = (pixels - cast(Tensor, self.mean)) / cast(Tensor, self.deviation)
        return pixels


@dataclass(frozen=True)
class Backbone:
    """A network by its name (see this module's table); calling it makes the module."""

    name: str
    pretrained: bool = False

    def __str__(self) -> str:
        return self.name + PRETRAINED * self.pretrained

    def __call__(self, channels: int, classes: int, size: int = 28) -> nn.Sequential:
        """The module: float32 [N, channels, S, S] in -1..1 to logits [N, classes].

        Args:
            channels: 1 or 3.
            classes: number of logits.
            size: side of the images in pixels; it decides the first layer of a ResNet.

        Raises:
            MedlabelError: published weights are asked for and could not be had.
        """
        if self.name.startswith(TIMM):
            return _from_timm(self, channels, classes)
        if self.pretrained:
            return nn.Sequential(Front(LEAST, standard=_IMAGENET), _published(self.name, classes))
        network = _torchvision_model(self.name, classes)
        small = self.name.startswith("resnet") and size < SMALL
        _adapt_first_layer(network, channels, small)
        return nn.Sequential(Front(1 if small else LEAST), network)


def parse_backbone(text: str) -> Backbone | None:
    """The network of this name, or None where neither torchvision nor timm is meant.

    Raises:
        MedlabelError: timm has no such model, or none with weights; with names like it.
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
    """Give it so many channels; `small` also makes it 3x3 at every pixel, with no pooling after."""
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


def _published(name: str, classes: int) -> nn.Module:
    """A network with the weights that torchvision has for it in all but its last layer."""
    network = _torchvision_model(name, classes)
    if not _with_weights.get():
        return network
    head = [key for key in network.state_dict() if key.startswith(("fc.", "classifier.6."))]
    body = {key: value for key, value in download(name).items() if key not in head}
    missing, unexpected = network.load_state_dict(body, strict=False)
    if missing != head or unexpected:
        raise MedlabelError(f"the weights of {name} are not those of this torchvision's {name}")
    return network


def download(name: str) -> Mapping[str, Tensor]:
    """Torchvision's weights by name, from its cache or, checked by their hash, from its site.

    Raises:
        MedlabelError: no network, or a damaged file, with where to put the right one.
    """
    import medlabel._torchvision  # noqa: F401  (before torchvision)
    from torchvision import models  # isort: skip

    weights = models.get_model_weights(name).DEFAULT
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # no network, a proxy's page, a damaged file in the cache
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
    """A front and one of timm's models; timm makes first and last layer itself."""
    name = backbone.name.removeprefix(TIMM)
    if not backbone.pretrained:
        network = _timm().create_model(name, num_classes=classes, in_chans=channels)
    else:
        network = _create_pretrained(_timm().create_model, name, classes)
    facts = network.pretrained_cfg
    made_for = facts["input_size"][-1]
    exact = bool(facts.get("fixed_input_size"))
    least = made_for if exact else min(LEAST, made_for)
    standard = (tuple(facts["mean"]), tuple(facts["std"])) if backbone.pretrained else None
    return nn.Sequential(Front(least, exact, standard), network)


def _create_pretrained(create: Callable[..., nn.Module], name: str, classes: int) -> Any:
    try:
        return create(name, pretrained=_with_weights.get(), num_classes=classes)
    except Exception as error:  # the hub's client has many ways to say that it is not there
        raise MedlabelError(
            f"{TIMM}{name}{PRETRAINED}: no weights ({_reason(error)}); where there is a network, "
            f"run `python -c \"import timm; timm.create_model('{name}', pretrained=True)\"` and "
            f"copy the hub's cache (HF_HOME) here, or write {TIMM}{name} to start from scratch"
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
