"""Read YAML files that users write, with a one-line error for every mistake.

YAML reads `yes`, `on`, `01`, `1.10`, `1:30` or `2020-01-01` as a boolean, a number or a date. In
names that would be wrong: a class `1.10` would become `1.1`. So every key and every value is a text
as it was typed, except for the values of those keys that the reader of the file says are numbers,
booleans or null.

A key that stands twice in a mapping is an error. YAML demands that, but PyYAML keeps the last.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from medlabel.errors import MedlabelError

__all__ = ["read_mapping", "read_yaml"]

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_TEXT = "tag:yaml.org,2002:str"
_VALUE = "tag:yaml.org,2002:value"  # of the text "=", for which PyYAML has no constructor
_IMPLICIT = {
    _NULL, _TEXT, _VALUE, _MERGE,
    *(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "timestamp")),
}  # fmt: skip


def read_yaml(path: Path, what: str, typed: Collection[str] = ()) -> object:
    """Return the parsed content of a YAML file; keys and values are texts as they were typed.

    Args:
        path: the file.
        what: what the file is called in error messages, such as "recipe" or "captions".
        typed: keys whose values have YAML's own types, also in lists and mappings below them. An
            empty value is None everywhere.

    Raises:
        MedlabelError: the file cannot be read, is not YAML, or has a key twice in one mapping.
    """
    try:
        return _parse(path.read_text(encoding="utf-8-sig"), typed)
    except OSError as error:
        raise MedlabelError(f"cannot read {what} {path}: {error.strerror}") from error
    except _DuplicateKeyError as error:
        raise MedlabelError(f"{what} {path}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        verb = "are" if what.endswith("s") else "is"
        raise MedlabelError(f"{what} {path} {verb} not YAML: {error}".replace("\n", " ")) from error


def read_mapping(path: Path, what: str, advice: str, typed: Collection[str] = ()) -> dict[str, Any]:
    """Return the content of a YAML file of `key: value` lines as a dictionary.

    Args:
        path: the file.
        what: what the file is called in error messages.
        advice: the error message for a file whose content is not a mapping.
        typed: as in `read_yaml`.

    Raises:
        MedlabelError: the file cannot be read, is not YAML, or is not a mapping.
    """
    content = read_yaml(path, what, typed)
    if not isinstance(content, dict):
        raise MedlabelError(advice)
    return content


class _DuplicateKeyError(Exception):
    """A key stands twice in a mapping."""


def _parse(text: str, typed: Collection[str]) -> object:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _keep_texts(root, frozenset(typed), as_text=True, seen=set())
        content: object = loader.construct_document(root)
        return content
    finally:
        loader.dispose()


def _keep_texts(
    node: Node, typed: frozenset[str], as_text: bool, seen: set[tuple[int, bool]]
) -> None:
    """Tag all scalars as texts that are to stay as they were typed.

    Args:
        node: the root of the content.
        typed: keys whose values are left alone.
        as_text: whether the scalars of this node are texts.
        seen: what was visited; an alias may lead there again, even from within.
    """
    if (id(node), as_text) in seen:
        return
    seen.add((id(node), as_text))
    if isinstance(node, ScalarNode):
        _keep_text(node, as_text)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            _keep_texts(item, typed, as_text, seen)
    elif isinstance(node, MappingNode):
        _keep_keys(node)
        for key, value in node.value:
            _keep_texts(value, typed, as_text and not _is_one_of(key, typed), seen)


def _keep_text(node: ScalarNode, as_text: bool) -> None:
    empty = node.tag == _NULL and not node.value
    if (as_text and node.tag in _IMPLICIT and not empty) or node.tag == _VALUE:
        node.tag = _TEXT


def _keep_keys(node: MappingNode) -> None:
    """Tag all keys of a mapping as texts, but for `<<: *alias`; raise if two are equal."""
    lines: dict[str, int] = {}
    for key, value in node.value:
        merges = key.tag == _MERGE and not isinstance(value, ScalarNode)
        if not isinstance(key, ScalarNode) or merges:
            continue  # PyYAML refuses lists and mappings as keys
        if key.tag in _IMPLICIT:
            key.tag = _TEXT
        line = key.start_mark.line + 1
        if key.value in lines:
            first = lines[key.value]
            raise _DuplicateKeyError(f"{key.value!r} stands twice, in lines {first} and {line}")
        lines[key.value] = line


def _is_one_of(key: Node, names: frozenset[str]) -> bool:
    return isinstance(key, ScalarNode) and key.value in names
