"""Read YAML files that users write, with a one-line error for every mistake."""

from pathlib import Path
from typing import Any

import yaml

from medlabel.errors import MedlabelError

__all__ = ["read_mapping", "read_yaml"]


def read_yaml(path: Path, what: str) -> object:
    """Return the parsed content of a YAML file.

    Args:
        path: the file.
        what: what the file is called in error messages, such as "recipe" or "captions".

    Raises:
        MedlabelError: the file cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MedlabelError(f"cannot read {what} {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        verb = "are" if what.endswith("s") else "is"
        raise MedlabelError(f"{what} {path} {verb} not YAML: {error}".replace("\n", " ")) from error


def read_mapping(path: Path, what: str, advice: str) -> dict[Any, Any]:
    """Return the content of a YAML file of `key: value` lines as a dictionary.

    Args:
        path: the file.
        what: what the file is called in error messages.
        advice: the error message for a file whose content is not a mapping.

    Raises:
        MedlabelError: the file cannot be read, is not YAML, or is not a mapping.
    """
    content = read_yaml(path, what)
    if not isinstance(content, dict):
        raise MedlabelError(advice)
    return content
