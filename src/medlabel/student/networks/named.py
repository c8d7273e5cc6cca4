"""Architectures by name, as users type them and bundles store them."""

from typing import Protocol

from torch import nn

from medlabel.errors import MedlabelError
from medlabel.student.networks.backbones import PRETRAINED, TIMM, TORCHVISION, parse_backbone
from medlabel.student.networks.cnn import PREFIX, Cnn, parse_cnn

__all__ = ["STUDENTS", "Architecture", "get_architecture"]


class Architecture(Protocol):
    """A function that builds a network."""

    def __call__(self, channels: int, classes: int, size: int = 28) -> nn.Module:
        """Float32 [N, channels, S, S] in -1..1 to logits [N, classes]; `size` is S."""
        ...


# To use a network of your own everywhere, add it here.
STUDENTS: dict[str, Architecture] = {
    "paper": Cnn(
        (10, 20),
        kernel=(3, 4),
        padding="none",
        norm="none",
        pool=(2,),
        order="pool-relu",
        grid=5,
        linear=(250, 50),
        dropout=0.5,
    ),
    "small": Cnn(order="pool-relu"),
}


def get_architecture(name: str) -> Architecture:
    """The architecture with this name.

    Raises:
        MedlabelError: the name is unknown or malformed; the message says what is allowed.
    """
    if name in STUDENTS:
        return STUDENTS[name]
    if name.startswith(PREFIX):
        return parse_cnn(name)
    if backbone := parse_backbone(name):
        return backbone
    if name.removesuffix(PRETRAINED) in STUDENTS:
        raise MedlabelError(
            f"{name}: there are no published weights of it; write it without {PRETRAINED}"
        )
    raise MedlabelError(
        f"unknown student {name!r}: choose from {', '.join(STUDENTS)}, {PREFIX}16-32-64 (and what "
        f"`medlabel.student.networks.cnn` says), {', '.join(TORCHVISION)}, {TIMM}NAME; "
        f"torchvision's and timm's also with {PRETRAINED}"
    )
