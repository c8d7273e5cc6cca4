"""Find images that are unlike a pool.

Three scores, each of which finds what the others miss; above 1 an image is an outsider by it:

| score | what it is |
| --- | --- |
| contrast | log odds of a logistic regression: the background against the pool's classes |
| distance | Mahalanobis distance to the nearest class of the pool |
| colour | of grey pools alone: how far the image was from grey before it was made grey |

The first two are computed in the features of the encoder. The background is what the pool is not:
drawn images of all looks, junk, and the pool's own images altered (outlier exposure, Hendrycks et
al. 2019).

Drawn looks that resemble the pool do no harm: where the two overlap the odds are even, and the
limit follows the pool. Limits are quantiles of the scores that the pool's own images get from
detectors that were fitted without them. A score depends on nothing but the image.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from medlabel.student.outsiders.background import background_features
from medlabel.student.outsiders.encoder import Encoder, shipped_encoder
from medlabel.student.outsiders.junk import altered
from medlabel.student.outsiders.mahalanobis import (
    class_statistics,
    cross_fitted_distances,
    folds_of,
    nearest_distance,
)

__all__ = ["CHROMA_LIMIT", "OutsiderDetector", "fit_detector"]

CONTRAST_QUANTILE, DISTANCE_QUANTILE = 0.975, 0.99  # of the pool
CHROMA_LIMIT = 0.03  # mean difference of channels; a grey image in a colour JPEG has 0.00
_FOLDS = 3
_MOST = 2000  # images of a pool that a detector is fitted to
_ALTERED = 500
_RIDGE = 0.01  # weight of the squared coefficients beside the mean loss
_ITERATIONS = 50
_FARTHEST = 8.0  # in standard deviations: features of images unlike anything are cut off here
_HIGHEST = 1e3  # of a score

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class OutsiderDetector:
    """A fitted detector; D features, K classes of the pool, M classes in all.

    Attributes:
        encoder: with the weights that it was fitted with.
        mean: of the features, float32 [D].
        deviation: standard deviations of the features, float32 [D].
        weight: of the regression, float32 [D, M]; the first K columns are the pool's.
        bias: of the regression, float32 [M].
        centres: mean features of the pool's classes, standardised, float32 [K, D].
        whitening: float32 [D, D], see `nearest_distance`; rounded to float16.
        contrast: median and limit of the log odds, float32 [2].
        farthest: limit of the distance, float32 [1].
    """

    encoder: Encoder
    mean: Floats
    deviation: Floats
    weight: Floats
    bias: Floats
    centres: Floats
    whitening: Floats
    contrast: Floats
    farthest: Floats

    def score(
        self, images: NDArray[np.uint8], chroma: Floats | None = None, device: str = "cpu"
    ) -> Floats:
        """Return the largest of the scores of each image, float32 [N]; above 1 it is an outsider.

        Args:
            images: uint8 [N, S, S] or [N, S, S, 3].
            chroma: how far the images were from grey (`medlabel.data.framing.chroma_of`),
                float32 [N]; None if that is unknown.
            device: torch device to compute on.
        """
        found = [self._by_appearance(images, device)]
        if images.ndim == 3 and chroma is not None:
            found.append(chroma / np.float32(CHROMA_LIMIT))
        return np.asarray(np.max(found, axis=0), dtype=np.float32)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all values by name, as `from_tensors` takes them."""
        values = {
            field.name: torch.from_numpy(getattr(self, field.name))
            for field in fields(self)
            if field.name != "encoder"
        }
        values["whitening"] = values["whitening"].half()
        encoder = {f"encoder.{name}": value.half() for name, value in self.encoder.weights.items()}
        return values | {name: value.contiguous() for name, value in encoder.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> "OutsiderDetector":
        """Make a detector of the tensors of another."""
        start = "encoder."
        weights = {
            name.removeprefix(start): value
            for name, value in tensors.items()
            if name.startswith(start)
        }
        names = [field.name for field in fields(cls) if field.name != "encoder"]
        return cls(Encoder.of(weights), *(tensors[name].float().numpy() for name in names))

    def _by_appearance(self, images: NDArray[np.uint8], device: str) -> Floats:
        """Return the larger of contrast and distance."""
        features = _standardise(self.encoder(images, device), self.mean, self.deviation)
        odds = _log_odds(features @ self.weight + self.bias, len(self.centres))
        usual, limit = self.contrast.tolist()
        contrast = np.exp(np.minimum((odds - limit) / (limit - usual), np.log(_HIGHEST)))
        distance = nearest_distance(features, self.centres, self.whitening) / self.farthest
        return np.asarray(np.maximum(contrast, distance), dtype=np.float32)


def _standardise(features: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Return features [N, D] in standard deviations from the mean, cut off far away from it."""
    found: Floats = np.clip((features - mean) / deviation, -_FARTHEST, _FARTHEST)
    return found


def fit_detector(images: NDArray[np.uint8], labels: Labels) -> OutsiderDetector:
    """Fit a detector to a pool; it takes two to three seconds on one core.

    Args:
        images: uint8 [N, S, S] or [N, S, S, 3]; of more than 2,000 a random sample is used.
        labels: a class of each image, int64 [N]: the student's, for instance.
    """
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(images))[:_MOST])
    images, own = images[rows], np.unique(labels[rows], return_inverse=True)[1]
    encoder = shipped_encoder(1 if images.ndim == 3 else 3)
    pool = encoder(images)
    groups = [*background_features(1 if images.ndim == 3 else 3)]
    groups.append(encoder(altered(rng, images, _ALTERED)))
    background = np.concatenate(groups)
    mean, deviation = pool.mean(axis=0), np.concatenate([pool, background]).std(axis=0) + 1e-6
    features = _standardise(pool, mean, deviation)
    regression = _Regression(_standardise(background, mean, deviation), [len(g) for g in groups])
    odds = np.empty(len(features), dtype=np.float32)
    for left_out, rest in folds_of(len(features), _FOLDS):
        odds[left_out] = regression.odds(features[rest], own[rest], features[left_out])
    limit, usual = np.quantile(odds, CONTRAST_QUANTILE), np.median(odds)
    distances = cross_fitted_distances(features, own, _FOLDS)
    centres, whitening = class_statistics(features, own)
    return OutsiderDetector(
        encoder, mean, deviation, *regression.fit(features, own),
        centres, whitening.astype(np.float16).astype(np.float32),
        np.array([usual, max(limit, usual + 1e-3)], dtype=np.float32),
        np.quantile(distances, [DISTANCE_QUANTILE]).astype(np.float32) + np.float32(1e-6),
    )  # fmt: skip


class _Regression:
    """Multinomial logistic regression of the classes of a pool and the groups of a background.

    Args:
        background: standardised features, float32 [B, D].
        sizes: number of images in each group; they sum to B.
    """

    def __init__(self, background: Floats, sizes: list[int]) -> None:
        self._background = background
        self._groups = np.repeat(np.arange(len(sizes)), sizes)

    def fit(self, features: Floats, own: Labels) -> tuple[Floats, Floats]:
        """Return weight [D, M] and bias [M]; the classes of the pool come first."""
        present, place = np.unique(own, return_inverse=True)
        inputs = np.concatenate([features, self._background])
        wanted = np.concatenate([place, len(present) + self._groups])
        model = LogisticRegression(
            C=1 / (_RIDGE * len(inputs)), max_iter=_ITERATIONS, tol=1e-3, random_state=0
        )
        with warnings.catch_warnings():  # it need not converge: the limit follows what it found
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(inputs, wanted)
        return model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32)

    def odds(self, features: Floats, own: Labels, others: Floats) -> Floats:
        """Return the log odds [n] of other images, of a regression fitted to a pool."""
        weight, bias = self.fit(features, own)
        return _log_odds(others @ weight + bias, len(np.unique(own)))


def _log_odds(logits: Floats, own: int) -> Floats:
    """Return the log odds [N] of the background, of logits [N, M] whose first columns are own."""
    outside = logsumexp(logits[:, own:], axis=1)
    return np.asarray(outside - logsumexp(logits[:, :own], axis=1), dtype=np.float32)
