"""JSON that every parser reads: no NaN, no Infinity.

JSON has no numbers that are not finite (RFC 8259, section 6). Python writes them nevertheless, as
`NaN` and `Infinity`, and browsers, `jq` and most other parsers refuse the whole file.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["to_json"]


def to_json(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """Return a value as strict JSON; a number that is not finite becomes `null`: it is not known.

    >>> to_json({"precision": float("nan"), "threshold": [0.5, float("inf")]})
    '{"precision": null, "threshold": [0.5, null]}'
    """
    return json.dumps(_finite(value), indent=indent, sort_keys=sort_keys, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(content) for content in value]
    return value
