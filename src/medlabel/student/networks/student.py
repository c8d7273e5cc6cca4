"""The module that is trained, and that a bundle holds."""

from typing import Any, cast

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from medlabel.errors import MedlabelError
from medlabel.student.networks.backbones import without_pretrained_weights
from medlabel.student.networks.named import get_architecture

__all__ = ["Student", "check_student", "parameter_count"]


class _Normalise(nn.Module):
    """Maps pixels in 0..255, of any dtype, to float32 in -1..1."""

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - 127.5) / 127.5


class Student(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="medlabel",
    license="apache-2.0",
    tags=["medical-imaging", "image-classification", "pseudo-labels"],
):
    """A CNN that includes its normalisation: uint8 pixels in, one logit per class out.

    Published weights are downloaded for a `+pretrained` architecture, unless within
    `without_pretrained_weights()`.

    Args:
        architecture: a name, see the table in `medlabel.student.networks`.
        channels: 1 for grey tasks, 3 for colour.
        classes: names of the classes, in the order of the logits.
        size: side of the images in pixels.
        members: number of networks in the ensemble, whose probabilities are averaged.

    Raises:
        MedlabelError: the architecture is unknown or too deep for the size, or its weights cannot
            be loaded.
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
        make = get_architecture(architecture)
        self.members = nn.ModuleList(
            nn.Sequential(_Normalise(), make(channels, len(classes), size)) for _ in range(members)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, float32 [N, K], of uint8 or float pixels [N, C, S, S] in 0..255."""
        if len(self.members) == 1:
            return cast(Tensor, self.members[0](pixels))
        probabilities = torch.stack([member(pixels).softmax(dim=1) for member in self.members])
        return probabilities.mean(dim=0).clamp_min(1e-12).log()

    @classmethod
    def _from_pretrained(cls, **kwargs: Any) -> "Student":
        """Called by `from_pretrained`. All weights are in the bundle: none are downloaded."""
        with without_pretrained_weights():
            return cast(Student, super()._from_pretrained(**kwargs))

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.architecture}, {self.channels} channels, classes {self.classes}"


def parameter_count(module: nn.Module) -> int:
    """Number of parameters."""
    values: list[Any] = [parameter.numel() for parameter in module.parameters()]
    return sum(values)


def check_student(name: str, size: int = 28) -> None:
    """Build a student and apply it to one image, so that errors appear before any training.

    This downloads published weights. torch's random number generator is left unchanged.

    Raises:
        MedlabelError: see `Student`; or the network cannot process images of `size` pixels.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        student = Student(name, 3, ["a", "b"], size).eval()
        try:
            student(torch.zeros(1, 3, size, size, dtype=torch.uint8))
        except RuntimeError as error:  # of a network of timm's
            reason = str(error).splitlines()[0]
            raise MedlabelError(f"{name} cannot read {size}x{size} pixels: {reason}") from error
