"""The folder of this machine where teachers and embeddings are kept."""

import os
from pathlib import Path

__all__ = ["default_home"]


def default_home() -> Path:
    """The folder that MEDLABEL_HOME names, else `~/.cache/medlabel`."""
    return Path(os.environ.get("MEDLABEL_HOME", Path.home() / ".cache" / "medlabel"))
