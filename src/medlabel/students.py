"""The students: small CNNs by name, and the module that a bundle holds.

| name | what it is |
| --- | --- |
| `paper` | the paper's: two convolutions, four linear layers, dropout 0.5 |
| `small` | three blocks of convolution, batch normalisation and pooling, then a global mean |
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from medlabel.errors import MedlabelError

__all__ = ["STUDENTS", "Student", "parameter_count", "student_named"]


def _paper_cnn(channels: int, classes: int) -> nn.Module:
    """The paper's network; its last map is 20×5×5 at 28 pixels, pooled to that elsewhere."""
    return nn.Sequential(
        nn.Conv2d(channels, 10, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(10, 20, 4),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(5),
        nn.Flatten(),
        *_linear(500, 250, nn.ReLU()),
        *_linear(250, 50, nn.ReLU()),
        *_linear(50, classes),
    )


def _linear(inputs: int, outputs: int, *activation: nn.Module) -> tuple[nn.Module, ...]:
    return nn.Dropout(0.5), nn.Linear(inputs, outputs), *activation


def _small_cnn(channels: int, classes: int) -> nn.Module:
    """Few weights and a global mean: little room to learn wrong labels by heart."""
    return nn.Sequential(
        *_block(channels, 16),
        nn.MaxPool2d(2),
        *_block(16, 32),
        nn.MaxPool2d(2),
        *_block(32, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, classes),
    )


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


STUDENTS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "paper": _paper_cnn,
    "small": _small_cnn,
}


def student_named(name: str) -> Callable[[int, int], nn.Module]:
    """The maker of an architecture, or a `MedlabelError` that lists what there is."""
    if name not in STUDENTS:
        raise MedlabelError(f"unknown student {name!r}: choose from {', '.join(STUDENTS)}")
    return STUDENTS[name]


class _Normalise(nn.Module):
    """Pixels 0..255 of any type to float32 -1..1."""

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - 127.5) / 127.5


class Student(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="medlabel",
    license="apache-2.0",
    tags=["medical-imaging", "image-classification", "pseudo-labels"],
):
    """A CNN with its normalisation inside: uint8 pixels in, one logit a class out.

    Args:
        architecture: a key of `STUDENTS`.
        channels: 1 for grey tasks, 3 for colour.
        classes: names of the classes, in the order of the logits.
        size: side of the images in pixels.
        members: so many networks, whose probabilities are averaged.
    """

    def __init__(
        self,
        architecture: str,
        channels: int,
        classes: list[str],
        size: int = 28,
        members: int = 1,
    ) -> None:
        super().__init__()
        self.architecture, self.channels, self.classes, self.size = (
            architecture,
            channels,
            classes,
            size,
        )
        make = student_named(architecture)
        self.members = nn.ModuleList(
            nn.Sequential(_Normalise(), make(channels, len(classes))) for _ in range(members)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, float32 [N, K], of uint8 or float pixels [N, C, S, S] in 0..255."""
        if len(self.members) == 1:
            return cast(Tensor, self.members[0](pixels))
        chances = torch.stack([member(pixels).softmax(dim=1) for member in self.members])
        return chances.mean(dim=0).clamp_min(1e-12).log()

    def extra_repr(self) -> str:
        """Shown by print: what it was made for."""
        return f"{self.architecture}, {self.channels} channels, classes {self.classes}"


def parameter_count(module: nn.Module) -> int:
    """Number of trained weights."""
    values: list[Any] = [parameter.numel() for parameter in module.parameters()]
    return sum(values)
