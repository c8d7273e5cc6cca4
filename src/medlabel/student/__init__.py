"""Networks and recipes, training, calibration, the decision for each image, and bundles.

In: images and scores. Out: a trained student, its probabilities and decisions, a bundle.
Imports `teacher`, `data` and `storage`.
"""
