"""docs/packages.svg shows what the code imports."""

import pytest

from tools.draw_packages import PICTURE, package_edges, render


def test_the_picture_is_up_to_date():
    stale = "docs/packages.svg is stale: run `python tools/draw_packages.py`"
    assert PICTURE.read_text() == render(package_edges()), stale


def test_a_new_package_needs_a_place():
    with pytest.raises(ValueError, match=r"no place in the picture for \['segmentation'\]"):
        render(package_edges() | {("cli", "segmentation")})


def test_data_passes_only_where_imports_allow_it():
    with pytest.raises(ValueError, match="no imports allow data to pass here"):
        render(package_edges() - {("teacher", "data")})
