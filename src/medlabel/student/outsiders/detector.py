"""Find images that are unlike a pool.

Three scores, each of which finds what the others miss; above 1 an image is an outsider by it:

| score | what it is |
| --- | --- |
| contrast | log odds, by a logistic regression in the encoder's features, of the background against the classes of the pool: drawn images of all looks, junk, and the pool's own images altered (outlier exposure, Hendrycks et al. 2019) |
| distance | Mahalanobis distance in the encoder's features to the nearest class of the pool |
| colour | of grey pools alone: how far the image was from grey before it was made grey |

Drawn looks that resemble the pool do no harm: where the two overlap the odds are even, and the limit
follows the pool. Limits are quantiles of the scores that the pool's own images get from detectors
that were fitted without them. A score depends on nothing but the image.
"""  # noqa: E501

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from medlabel.student.mahalanobis import ClassDistance
from medlabel.student.outsiders.background import background_features
from medlabel.student.outsiders.encoder import Encoder, shipped_encoder
from medlabel.student.outsiders.junk import altered

__all__ = ["CHROMA_LIMIT", "CONTRAST_QUANTILE", "DISTANCE_QUANTILE", "OutsiderDetector"]

CONTRAST_QUANTILE, DISTANCE_QUANTILE = 0.98, 0.99  # of the pool
CHROMA_LIMIT = 0.03  # mean difference of channels; a grey image saved as a colour JPEG has 0.00
_FOLDS = 3
_MOST = 2000  # images of a pool that a detector is fitted to
_ALTERED = 600
_RIDGE = 0.01  # weight of the squared coefficients beside the mean loss
_ITERATIONS = 80
_CLIP = 8.0  # deviations: beyond, features of images unlike anything would only grow
_HIGHEST = 1e3  # of a score

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class OutsiderDetector:
    """A fitted detector.

    Attributes:
        encoder: with the weights that it was fitted with.
        mean, deviation: of the D features, float32 [D].
        weight, bias: of the regression, float32 [D, M] and [M]; the first columns are the pool's.
        own: number of the pool's columns.
        usual, limit: median and limit of the log odds.
        distance: to the classes of the pool, with its limit.
    """

    encoder: Encoder
    mean: Floats
    deviation: Floats
    weight: Floats
    bias: Floats
    own: int
    usual: float
    limit: float
    distance: ClassDistance
