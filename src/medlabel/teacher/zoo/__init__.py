"""Information about CLIP models without loading them, their local files, and downloads.

In: the name of a model, as in `medlabel.teacher.clip`.
Out: its size and cost, its file on this machine, and whether the file has the published digest.
Imports `teacher.clip`, `teacher.phantom_clip`, `data.sources`, `storage` and `errors`.
"""
