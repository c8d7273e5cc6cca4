"""Image sources, listings, decoding, tasks with their cells, and the sealed true labels.

In: paths, URIs and names of MedMNIST sets.
Out: uint8 images, image ids, tasks and sampled cells, `SealedTruth`.
Imports `storage`, `phantoms` and `errors`.
"""
