"""Files that people write: YAML, read into what a module then checks; each mistake is one line."""

from pathlib import Path
from typing import Any

import yaml

from medlabel.errors import MedlabelError

__all__ = ["read_mapping", "read_yaml"]


def read_yaml(path: Path, what: str) -> object:
    """What a file says.

    Args:
        path: of the file.
        what: it is to a user: "recipe", "captions".

    Raises:
        MedlabelError: it cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MedlabelError(f"cannot read {what} {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        verb = "are" if what.endswith("s") else "is"
        raise MedlabelError(f"{what} {path} {verb} not YAML: {error}".replace("\n", " ")) from error


def read_mapping(path: Path, what: str, advice: str) -> dict[Any, Any]:
    """The same for a file of `key: value` lines; `advice` says what to write where it is none."""
    content = read_yaml(path, what)
    if not isinstance(content, dict):
        raise MedlabelError(advice)
    return content
