"""Phantoms: images that a program draws in the look of each 2D MedMNIST set.

A phantom shows what a textbook says a kind of image looks like, under heavy randomisation of pose,
shape, contrast, colour, blur and noise. medlabel's own small CLIP is trained on phantoms and on
nothing else, so what it does on real images is zero-shot.

    from medlabel import phantoms

    images = phantoms.draw("retinamnist", 100, seed=0)   # uint8 [100,28,28,3]
    phantoms.LOOKS["retinamnist"].description            # what is drawn, and after what

What was looked at while the drawings were made: general medical knowledge of each modality; the
published descriptions of the twelve sets (crops, windows, sizes) and their published mean
brightness; contact sheets of phantoms beside real images of BreastMNIST, PneumoniaMNIST, NIH chest
films and the blood cells that BloodMNIST was made from, and the accuracy of the trained CLIP on
these four, mistakes included, in about six rounds of drawing; and how that CLIP names crops of two
of scikit-image's sample pictures (a fundus, an immunostained colon). Of the other sets no real
image was looked at. Nothing was fitted: no pixel, label or statistic of a real image is in here,
and every range was set by hand. But for those four sets "never saw a real image" holds for the
program, not for its authors.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.phantoms import microscopy, photography, radiology
from medlabel.phantoms.parts import Floats, Sheet

__all__ = ["LOOKS", "Look", "chunk_size", "draw"]


def chunk_size(size: int) -> int:
    """How many images of `size` pixels are drawn at a time: 64 at 28, 8 at 224."""
    return max(1, 64 * 28 // size)


@dataclass(frozen=True)
class Look:
    """How the images of one MedMNIST set look, in words and as a program.

    | field | what |
    | --- | --- |
    | flag | the MedMNIST set, `retinamnist` |
    | colour | whether its images have three channels |
    | drawing | fills a `Sheet`: brightness about 0 to 1, [n,size,size] or [n,size,size,3] |
    | description | what a textbook says such an image looks like |
    """

    flag: str
    colour: bool
    drawing: Callable[[Sheet], Floats]
    description: str


_LOOKS = (
    Look("pathmnist", True, microscopy.path,
         "Colon tissue under the microscope, haematoxylin and eosin: nuclei blue-purple, fibres "
         "and cytoplasm pink, glass, fat and mucus pale; nine kinds, from glass to carcinoma."),
    Look("chestmnist", False, radiology.chest,
         "Frontal chest film of an adult: two tall dark lungs, bright spine, heart to the image's "
         "right, domed diaphragm over a bright abdomen, dark air above sloping shoulders; "
         "sometimes opacities, tubes, markers, collimation."),
    Look("dermamnist", True, photography.derma,
         "Dermatoscopy: a brown, black or reddish lesion with a ragged edge on pink or tan skin, "
         "with hairs, glare and the tube's dark corners."),
    Look("octmnist", False, photography.oct_scan,
         "Optical coherence tomography of the macula: bright retinal layers across a dark field, "
         "brightest at the pigment epithelium, a dip at the fovea; drusen, fluid, membranes."),
    Look("pneumoniamnist", False, radiology.pneumonia,
         "Frontal chest film of a small child: a broad short chest that fills the field, crowded "
         "flat ribs, a large heart, bright hazy opacities where there is pneumonia."),
    Look("retinamnist", True, photography.retina,
         "Fundus photograph: an orange-red disc in a black surround, a yellow optic nerve head, "
         "vessels arching from it, a darker macula; bleeds and yellow exudates in diabetes."),
    Look("breastmnist", False, radiology.breast,
         "B-mode ultrasound of the breast: bright skin above, streaked layers of fat and gland in "
         "speckle, dark masses with shadow or enhancement below them, darkness in depth."),
    Look("bloodmnist", True, microscopy.blood,
         "One Wright-Giemsa stained white cell or platelet in the middle: purple nucleus, round, "
         "bent or lobed, pink, blue or orange cytoplasm; pale red cells on a cream ground."),
    Look("tissuemnist", False, microscopy.tissue,
         "One cell of the kidney cortex in fluorescence, brightest over the slices of a stack: a "
         "soft glowing blob among dimmer neighbours in the dark."),
    Look("organamnist", False, radiology.organ_axial,
         "Abdominal CT cut across the body, cropped to one organ: even grey organ, dark fat, black "
         "air, white bone; a round vertebra and ribs in cross-section."),
    Look("organcmnist", False, radiology.organ_coronal,
         "Abdominal CT cut from side to side, cropped to one organ: even grey organ under the dome "
         "of the diaphragm, black lung, ribs in a row, white bone."),
    Look("organsmnist", False, radiology.organ_sagittal,
         "Abdominal CT cut from front to back, cropped to one organ: even grey organ, the spine's "
         "white column with its discs at one side, dark fat, black air."),
)  # fmt: skip

LOOKS: Mapping[str, Look] = MappingProxyType({look.flag: look for look in _LOOKS})
"""The twelve looks by MedMNIST flag."""


def draw(flag: str, n: int, seed: int, size: int = 28) -> NDArray[np.uint8]:
    """Draw n phantoms of one look: uint8 [n,size,size], or [n,size,size,3] where it is in colour.

    Deterministic. Images are drawn in whole chunks of `chunk_size(size)`, and the dice of a chunk
    are rolled from (flag, seed, size, chunk): image i is the same whatever n is.

    Raises:
        MedlabelError: where no look has this flag.
    """
    if flag not in LOOKS:
        raise MedlabelError(f"no phantom is drawn for '{flag}'; there are {', '.join(LOOKS)}")
    chunks = [
        _chunk(LOOKS[flag], seed, size, chunk) for chunk in range(math.ceil(n / chunk_size(size)))
    ]
    shape = (0, size, size, 3) if LOOKS[flag].colour else (0, size, size)
    return np.concatenate([np.empty(shape, np.uint8), *chunks])[:n]


def _chunk(look: Look, seed: int, size: int, chunk: int) -> NDArray[np.uint8]:
    """One whole chunk of images."""
    dice = np.random.default_rng([zlib.crc32(look.flag.encode()), seed, size, chunk])
    image = look.drawing(Sheet(dice, chunk_size(size), size))
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
