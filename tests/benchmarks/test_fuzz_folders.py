"""A small part of `python -m benchmarks.fuzz_folders`."""

import pytest

from benchmarks.fuzz_folders import fuzz


@pytest.mark.parametrize("seed", range(1000, 1010))
def test_what_must_hold_of_any_folder_holds(seed, tmp_path):
    assert fuzz(seed, tmp_path) is not None
