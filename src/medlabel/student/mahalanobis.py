"""The Mahalanobis distance of features to the nearest class of a pool."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

__all__ = ["ClassDistance"]

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
