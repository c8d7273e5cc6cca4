"""Phantoms beside real images."""

from medlabel.phantoms import LOOKS
from medlabel.reports.contact_sheet import phantom_rows, phantom_sheet


def test_every_kind_is_a_row_of_as_many_images():
    rows = phantom_rows(LOOKS["octmnist"], 3)
    assert list(rows) == [kind.name for kind in LOOKS["octmnist"].kinds]
    assert {images.shape for images in rows.values()} == {(3, 28, 28)}


def test_the_sheet_is_a_picture_and_longer_with_real_images(dark):
    alone, beside = (
        phantom_sheet("breastmnist", columns=3),
        phantom_sheet("breastmnist", str(dark), columns=3),
    )
    assert alone.startswith(b"\x89PNG")
    assert int.from_bytes(beside[20:24]) > int.from_bytes(alone[20:24])
