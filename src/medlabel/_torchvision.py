"""Import this before torchvision, open_clip or timm.

The registry's torchvision wheel is compiled against CUDA builds of torch. Beside a CPU-only torch
its extension does not load, and `import torchvision` then fails over the schemas of two operators
that medlabel never calls. Declaring them first lets the import go on.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

import torch

__all__: list[str] = []


def _extension_loads() -> bool:
    """Whether torchvision's compiled operators can be loaded beside this torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    libraries = list(Path(spec.origin).parent.glob("_C*"))
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return bool(libraries)


if not _extension_loads():
    for operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{operator}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )
