"""The table of annotations, the audit and its guarantee, answers, explanations and exports.

In: a student's decisions, and people's answers. Out: tables, a guarantee, files for other programs.
Imports `experiments` and everything before it.
"""
