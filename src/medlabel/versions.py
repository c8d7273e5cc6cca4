"""The version numbers of the code that decides results.

A number is raised when the same input gives another result than before, and only then: a comment, a
docstring or a renamed variable leaves it alone, and so does a new release of a library. The numbers
are part of the keys under which finished work is found again. Raising one makes everything that
depends on it be computed anew, and a job that was interrupted under the old number refuses to go on
in the same folder. Library versions are recorded beside every result, but decide nothing.

`tests/test_versions.py` keeps the numbers honest: it compares the outputs of the code with recorded
ones, and fails where a result changed and its number did not.
"""

from types import MappingProxyType

__all__ = [
    "ANNOTATION",
    "CAPTIONS",
    "DECISIONS",
    "PHANTOMS",
    "PHANTOM_CLIP",
    "PREPROCESSING",
    "SAMPLING",
    "SCORES",
    "STUDENT",
    "TEACHER_TRAINING",
    "TRAINING",
]

PHANTOMS = 1
"""The drawn images: `medlabel.phantoms`."""

CAPTIONS = 1
"""The captions that the phantom CLIP is trained on: `teacher.captions`, `phantom_captions`."""

TEACHER_TRAINING = 1
"""How the phantom CLIP is built and trained: `teacher.phantom_clip`, `phantom_training`."""

PREPROCESSING = 2
"""From a file to the pixels that a model sees: `data.decoding`, `data.framing`, `teacher.clip`."""

SAMPLING = 1
"""The images of a cell and their order: `data.tasks.sample_cells`."""

SCORES = 1
"""From embeddings to scores: `teacher.zero_shot`, `teacher.adjust`."""

TRAINING = 2
"""From scores to a student: recipes, targets, augmentation, losses, training, calibration."""

DECISIONS = 2
"""From a student and pixels to a decision: its forward pass, temperature, OOD score, reasons."""

PHANTOM_CLIP = MappingProxyType(
    {"phantoms": PHANTOMS, "captions": CAPTIONS, "training": TEACHER_TRAINING}
)
"""The numbers that are part of a phantom CLIP's name."""

STUDENT = MappingProxyType(
    {
        "preprocessing": PREPROCESSING,
        "sampling": SAMPLING,
        "scores": SCORES,
        "training": TRAINING,
    }
)
"""The numbers that are part of a student's key. Phantoms count by their pixels."""

ANNOTATION = MappingProxyType({"preprocessing": PREPROCESSING, "decisions": DECISIONS})
"""The numbers that a folder of annotations was begun with, and has to be continued with."""
