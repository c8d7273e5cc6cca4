"""The folder on this machine where trained teachers and embeddings are cached."""

import os
from pathlib import Path

__all__ = ["default_home"]


def default_home() -> Path:
    """Return the folder named by the variable MEDLABEL_HOME, else `~/.cache/medlabel`."""
    return Path(os.environ.get("MEDLABEL_HOME", Path.home() / ".cache" / "medlabel"))
