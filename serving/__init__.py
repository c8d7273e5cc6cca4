"""The door: the Ray Serve application."""

import rayjobs  # noqa: F401  (its settings must be there before Ray is imported)
