"""Metrics, baselines, label-free diagnostics, and significance tests.

In: probabilities [N, K]; for metrics only, also the sealed true labels.
Out: metrics per cell, confusion counts, diagnostics with warnings, p-values.
Imports `student` and every package that `student` may import.
"""
