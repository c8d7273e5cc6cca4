"""Where torch computes. A module of its own, so that asking does not import a CLIP."""

import torch

__all__ = ["default_device"]


def default_device() -> str:
    """`cuda` where torch sees a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"
