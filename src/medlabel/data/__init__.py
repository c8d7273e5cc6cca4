"""Where images come from: sources, listings, decoding, tasks, and the sealed true labels.

In: paths and names of sets. Out: uint8 images, image ids, tasks and cells, `SealedTruth`.
Imports `storage` and `phantoms`.
"""
