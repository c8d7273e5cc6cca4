"""The module that is trained, and that a bundle holds."""

from typing import Any, cast

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from medlabel.errors import MedlabelError
from medlabel.student.networks.backbones import blank
from medlabel.student.networks.named import student_named

__all__ = ["Student", "check_student", "parameter_count"]


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

    Published weights are downloaded for a `+pretrained` architecture, unless within `blank()`.

    Args:
        architecture: a name, see the table in `medlabel.student.networks`.
        channels: 1 for grey tasks, 3 for colour.
        classes: names of the classes, in the order of the logits.
        size: side of the images in pixels.
        members: so many networks, whose probabilities are averaged.

    Raises:
        MedlabelError: the architecture is unknown, too deep for the size, or its weights are
            not to be had.
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
            nn.Sequential(_Normalise(), make(channels, len(classes), size)) for _ in range(members)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, float32 [N, K], of uint8 or float pixels [N, C, S, S] in 0..255."""
        if len(self.members) == 1:
            return cast(Tensor, self.members[0](pixels))
        chances = torch.stack([member(pixels).softmax(dim=1) for member in self.members])
        return chances.mean(dim=0).clamp_min(1e-12).log()

    @classmethod
    def _from_pretrained(cls, **kwargs: Any) -> "Student":
        """The hub's way to load: its weights are all there, none of ImageNet are needed."""
        with blank():
            return cast(Student, super()._from_pretrained(**kwargs))

    def extra_repr(self) -> str:
        """Shown by print: what it was made for."""
        return f"{self.architecture}, {self.channels} channels, classes {self.classes}"


def parameter_count(module: nn.Module) -> int:
    """Number of trained weights."""
    values: list[Any] = [parameter.numel() for parameter in module.parameters()]
    return sum(values)


def check_student(name: str, size: int = 28) -> None:
    """Make a student and show it one image, so that what cannot work fails before the work.

    Published weights are downloaded by it, too. No random number is drawn from torch's generator.

    Raises:
        MedlabelError: see `Student`, or images of `size` pixels are nothing that it can read.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        student = Student(name, 3, ["a", "b"], size).eval()
        try:
            student(torch.zeros(1, 3, size, size, dtype=torch.uint8))
        except RuntimeError as error:  # of some network of timm's
            reason = str(error).splitlines()[0]
            raise MedlabelError(f"{name} cannot read {size}x{size} pixels: {reason}") from error
