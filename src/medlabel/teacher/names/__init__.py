"""The names of classes: what they mean, and which of their words a phantom teacher has learned.

In: names as a user types them, and captions.
Out: captions, one meaning per name, the words that no training caption held, and what a teacher
cannot read of captions.
Imports `teacher.captions`, `teacher.phantom_captions`, `phantoms` and `errors`.
"""
