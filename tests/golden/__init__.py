"""Recorded outputs of the code, one file for each number of `medlabel.versions`.

`tests/test_versions.py` compares them with what the code gives now. After raising a number:

    python -m tests.golden
"""
