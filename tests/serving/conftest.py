"""Import Ray Serve once here: its own module warns about pydantic, and warnings are errors."""

import warnings

from pydantic import PydanticDeprecatedSince20

with warnings.catch_warnings():
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    import ray.serve  # noqa: F401
