"""CLIP models: how they are loaded, what is known without loading them, their files, downloads.

In: the name of a model, as in `medlabel.teacher.clip`.
Out: the model; its size and cost, its file on this machine, whether the file has the published
digest.
Imports `teacher.clip`, `teacher.phantom_clip`, `data.sources`, `storage` and `errors`.
"""
