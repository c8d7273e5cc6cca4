"""Searches for a student and a recipe with Ray Tune, without true labels.

In: a search's configuration. Out: trials, the winner's recipe and bundles, tables and a report.
Imports `medlabel`, and `rayjobs.sweep`, which prepares tasks and pixels in the same way.
"""
