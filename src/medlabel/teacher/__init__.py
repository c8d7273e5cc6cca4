"""The teacher: CLIP models, captions, zero-shot scores and their adjustment, embeddings.

In: uint8 images and class names.
Out: embeddings [N, D] of unit length and scores [N, K] whose rows sum to one.
Imports `data`, `phantoms`, `storage` and `errors`.
"""
