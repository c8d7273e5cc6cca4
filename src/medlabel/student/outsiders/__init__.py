"""Find images that are unlike the pool that a student was trained on: outsiders.

    detector = fit_detector(pool, labels)    # uint8 [N,28,28], int64 [N]
    detector.score(images, chroma)           # float32 [M]; above 1 it is an outsider

A student's own features hardly show it: trained to tell chest from breast, it has no use for what
distinguishes a chest film from a slice of the abdomen. So a small encoder that was trained to tell
drawn images of every look apart describes the images, and a detector is fitted to the pool in its
features. Nothing here uses a true label, and no real image but those of the pool.

In: images, a class of each. Out: scores. Imports `phantoms`.
"""

from medlabel.student.outsiders.detector import CHROMA_LIMIT, OutsiderDetector, fit_detector

__all__ = ["CHROMA_LIMIT", "OutsiderDetector", "fit_detector"]
