"""The student: networks, recipes, training, calibration, decisions per image, and bundles.

In: uint8 images and teacher scores [N, K].
Out: a trained network, calibrated probabilities, decisions with review reasons, a bundle folder.
Imports `teacher`, `data`, `storage` and `errors`.
"""
