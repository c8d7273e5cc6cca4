"""Sweeps: every task by every teacher, recipe and student, with all seeds, on Ray Core.

In: a sweep's configuration. Out: a folder of cells, tables and a report.
Imports `medlabel` and the modules of `rayjobs` beside it.
"""
