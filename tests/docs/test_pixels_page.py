"""Each convention on the page "How an image becomes pixels" names tests that exist."""

import re
from pathlib import Path

import pytest

from medlabel import versions

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "pixels.md").read_text()
TABLES = re.findall(r"^\|[^\n]*\| tests \|\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)", PAGE, re.MULTILINE)
ROWS = [row for table in TABLES for row in table.splitlines()]
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_a_convention_names_tests_that_exist(row):
    named = NAMED.findall(row.rstrip("| ").rpartition("|")[2])
    assert named
    for file, test in named:
        assert f"def {test}(" in (TESTS / file).read_text(), f"{file} has no {test}"


def test_the_page_states_the_number_of_its_conventions():
    assert len(ROWS) > 40
    assert f"which is {versions.PREPROCESSING}." in PAGE
