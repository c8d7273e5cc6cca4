"""Models before they are loaded: their facts, where their weights lie, and how they are fetched.

In: the name of a model as a user types it. Out: its size and cost, its file on this machine, and
whether that file is what its maker published. Imports `teacher.clip` and `teacher.phantom_clip`.
"""
