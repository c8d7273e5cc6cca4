"""CLIP models, captions, zero-shot scores and their adjustment, and the embedding table.

In: images and class names. Out: embeddings [N, D] and scores [N, K] whose rows sum to one.
Imports `data`, `phantoms` and `storage`.
"""
