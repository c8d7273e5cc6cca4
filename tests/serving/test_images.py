"""The service's part of decoding: an image comes through, a refusal gets its HTTP status."""

import numpy as np
import pytest
from broken_images import broken_files, dicom_bytes, encoded, png_promising
from PIL import Image

from medlabel.data.decoding import Fault
from serving.images import _STATUS, Budget, RequestError, open_images

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)


def open_image(data):
    (image,) = open_images(data, Budget(10))
    return image.pixels


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("pixels", [IMAGE, GREY], ids=["rgb", "grey"])
def test_pictures_come_through(kind, pixels):
    opened = open_image(encoded(Image.fromarray(pixels), kind))
    np.testing.assert_array_equal(np.asarray(opened), pixels)


def test_dicom_comes_through():
    np.testing.assert_array_equal(np.asarray(open_image(dicom_bytes(GREY))), GREY)


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"https://example.org/image.png", 415, "not a PNG"),
        (png_promising(4097, 4096), 413, "too many pixels"),
        (b"\x89PNG\r\n\x1a\n", 422, "damaged"),
        (png_promising(9, 8, bits=16, colour=2), 422, "8 bits"),
        (dicom_bytes(GREY, PixelData=None), 422, "without pixels"),
    ],
    ids=["address", "huge", "damaged", "16 bits", "no pixels"],
)
def test_refusals_have_a_status(data, status, reason):
    with pytest.raises(RequestError, match=reason) as refused:
        open_image(data)
    assert refused.value.status == status


def test_every_fault_has_a_status():
    assert set(_STATUS) == set(Fault)


def test_every_broken_file_is_refused():
    for _, _, data in broken_files(1):
        with pytest.raises(RequestError):
            open_image(data)


def test_pixels_of_a_request_are_counted_over_its_files():
    budget = Budget(10, pixels=1000)
    for _ in range(3):
        open_images(encoded(Image.fromarray(GREY)), budget)
    with pytest.raises(RequestError, match="pixels") as refused:
        open_images(encoded(Image.fromarray(GREY)), budget)
    assert refused.value.status == 413


def test_pixels_of_damaged_files_are_counted_too():
    damaged = encoded(Image.fromarray(GREY))[:-30]
    budget = Budget(10, pixels=600)
    for _ in range(3):
        with pytest.raises(RequestError, match="damaged"):
            open_images(damaged, budget)
    with pytest.raises(RequestError, match="too many pixels in one request"):
        open_images(damaged, budget)


def test_nothing_is_decoded_once_the_budget_is_spent(monkeypatch):
    budgets = [Budget(1), Budget(10, pixels=100)]
    open_images(encoded(Image.fromarray(GREY)), budgets[0])
    with pytest.raises(RequestError):
        open_images(encoded(Image.fromarray(GREY)), budgets[1])
    monkeypatch.setattr("serving.images.decode", lambda _: pytest.fail("it was decoded"))
    for budget in budgets:
        with pytest.raises(RequestError, match="in parts"):
            open_images(encoded(Image.fromarray(GREY)), budget)
