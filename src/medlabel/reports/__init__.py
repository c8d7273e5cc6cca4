"""Pages and figures: of runs, sweeps, searches, annotations and retraining.

In: folders and tables of results. Out: HTML pages that stand alone, and PNG files.
Imports `annotation` and everything before it.
"""
