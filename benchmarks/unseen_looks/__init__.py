"""Drawn images of kinds that the phantom teacher has never seen, to try its doubt on.

    images, kinds = unseen("hand", 100, seed=0)   # uint8 [100,28,28] and int64 [100]
    UNSEEN["hand"].name                           # "hand X-ray", as a user would type it
    UNSEEN["hand"].kinds                          # ("fracture", "normal")

These looks are test situations of `benchmarks/`: none is in `medlabel.phantoms.LOOKS`, so that no
teacher is trained on them. In: a flag, a number, a seed and a size. Out: uint8 images and the
number of the kind of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from benchmarks.unseen_looks.bodies import ABDOMEN, BREAST_MR, CARDIAC_MR, MAMMOGRAM
from benchmarks.unseen_looks.bones import HAND, KNEE, SPINE
from benchmarks.unseen_looks.heads import BRAIN_MR, BRAIN_WEIGHTING, HEAD_CT
from benchmarks.unseen_looks.lines import ANGIOGRAM, DENTAL, ECG, GEL
from benchmarks.unseen_looks.photos import EARDRUM, EYE
from benchmarks.unseen_looks.scopes import ENDOSCOPY, FETUS
from benchmarks.unseen_looks.tracers import BONE_SCAN, PET
from medlabel.errors import MedlabelError
from medlabel.phantoms import Look, draw_look

__all__ = ["UNSEEN", "Unseen", "unseen"]


@dataclass(frozen=True)
class Unseen:
    """A look that no teacher has learned, and the names that a user would type for it.

    | field | meaning |
    | --- | --- |
    | look | what is drawn |
    | name | of the image type, such as `hand X-ray` |
    | kinds | of each kind, in the order of their numbers |
    """

    look: Look
    name: str
    kinds: tuple[str, ...]

    @property
    def description(self) -> str:
        """What the images look like."""
        return self.look.description


_ALL = (
    Unseen(HAND, "hand X-ray", ("fracture", "normal")),
    Unseen(KNEE, "knee X-ray", ("arthrosis", "normal")),
    Unseen(SPINE, "spine X-ray", ("vertebral fracture", "normal")),
    Unseen(HEAD_CT, "head CT", ("bleeding", "no bleeding")),
    Unseen(BRAIN_MR, "brain MRI", ("tumor", "no tumor")),
    Unseen(BRAIN_WEIGHTING, "brain MRI", ("T1", "T2")),
    Unseen(MAMMOGRAM, "mammogram", ("cancer", "normal")),
    Unseen(BREAST_MR, "breast MRI", ("tumor", "no tumor")),
    Unseen(CARDIAC_MR, "cardiac MRI", ("hypertrophy", "normal")),
    Unseen(ABDOMEN, "abdominal X-ray", ("bowel obstruction", "normal")),
    Unseen(PET, "PET scan", ("cancer", "normal")),
    Unseen(BONE_SCAN, "bone scan", ("metastases", "normal")),
    Unseen(ENDOSCOPY, "colonoscopy", ("polyp", "no polyp")),
    Unseen(EYE, "eye photo", ("cataract", "healthy eye")),
    Unseen(EARDRUM, "otoscopy", ("ear infection", "normal")),
    Unseen(FETUS, "fetal ultrasound", ("head", "abdomen")),
    Unseen(ANGIOGRAM, "coronary angiogram", ("stenosis", "normal")),
    Unseen(DENTAL, "dental X-ray", ("cyst", "normal")),
    Unseen(ECG, "ECG", ("atrial fibrillation", "normal")),
    Unseen(GEL, "gel electrophoresis", ("myeloma", "normal")),
)

UNSEEN: Mapping[str, Unseen] = MappingProxyType({each.look.flag: each for each in _ALL})
"""Every look that is drawn here, by flag."""


def unseen(
    flag: str, n: int, seed: int, size: int = 28
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw n images of a look, all kinds equally often, and return the kind of each.

    Returns:
        Images, uint8 [n, size, size] or [n, size, size, 3], and kinds, int64 [n].

    Raises:
        MedlabelError: there is no such look.
    """
    if flag not in UNSEEN:
        raise MedlabelError(f"no unseen look {flag!r}: choose from {', '.join(UNSEEN)}")
    return draw_look(UNSEEN[flag].look, n, seed, size, even=True)
