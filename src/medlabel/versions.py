"""The version numbers of everything that decides a result.

A number is raised when the same input would give another result than before, and only then: a
comment or a renamed variable leaves it alone. The numbers are part of the keys by which finished
work is found again, so raising one makes what depends on it anew. `tests/test_versions.py`
compares outputs with recorded ones and fails when a result changed and its number did not.
"""

from types import MappingProxyType

__all__ = ["CAPTIONS", "PHANTOMS", "PREPROCESSING", "SCORES", "TEACHER_TRAINING", "TRAINING"]

PHANTOMS = 1
"""The drawn images: `medlabel.phantoms`."""

CAPTIONS = 1
"""The captions that the phantom CLIP learns: `teacher.captions`, `teacher.phantom_captions`."""

TEACHER_TRAINING = 1
"""How the phantom CLIP is built and trained: `teacher.phantom_clip`, `teacher.phantom_training`."""

PREPROCESSING = 1
"""How an image becomes what a CLIP or a student sees: `data.framing`, `data.decoding`."""

SCORES = 1
"""From embeddings to scores: `teacher.zero_shot`, `teacher.adjust`."""

TRAINING = 1
"""Students: networks, recipes, targets, augmentation, losses, training and calibration."""

STUDENT = MappingProxyType({"training": TRAINING, "scores": SCORES})
"""The numbers that are part of a student's key."""

PHANTOM_CLIP = MappingProxyType(
    {"phantoms": PHANTOMS, "captions": CAPTIONS, "training": TEACHER_TRAINING}
)
"""The numbers that are part of the phantom CLIP's name."""
