"""Folders, specifications and tables of runs, sweeps and searches.

In: a specification, or the results of cells. Out: folders on disk and tables of results.
Imports `evaluation` and everything before it.
"""
