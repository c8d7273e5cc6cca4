"""Metrics, baselines, diagnostics that need no labels, and tests of significance.

In: probabilities and, for metrics alone, the sealed truth. Out: figures and warnings.
Imports `student` and everything before it.
"""
