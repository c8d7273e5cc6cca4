"""Stacks: every image comes through, and nothing unfolds to more than is allowed."""

import io
import zipfile

import numpy as np
import pytest

from medlabel.data.decoding import Fault, ImageError, decode_stack, is_stack
from medlabel.data.decoding import stacks as module

GREY = np.random.default_rng(0).integers(0, 256, (5, 9, 8), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (4, 9, 8, 3), dtype=np.uint8)


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def refusal(data, most=100):
    with pytest.raises(ImageError) as refused:
        decode_stack(data, most)
    return refused.value


@pytest.mark.parametrize(
    ("data", "images"),
    [
        (npy(GREY), GREY),
        (npy(RGB), RGB),
        (npy(GREY[..., None]), GREY),
        (npy(GREY[0]), GREY[:1]),
        (npy(RGB[0]), RGB[:1]),
        (npz(anything=GREY), GREY),
        (npz(train_images=GREY[:2], train_labels=np.zeros((2, 1)), test_images=GREY[2:]), GREY),
        (npy(np.asfortranarray(GREY)), GREY),
    ],
)
def test_every_image_of_a_stack_comes_through(data, images):
    assert is_stack(data)
    decoded = decode_stack(data, 100)
    assert len(decoded) == len(images)
    for one, other in zip(decoded, images, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (npy(GREY.astype(np.float32)), Fault.UNSUITABLE, "float32"),
        (npy(np.array([{}], dtype=object), allow_pickle=True), Fault.UNSUITABLE, "pickled"),
        (npy(GREY)[:-1], Fault.DAMAGED, "bytes of pixels"),
        (npy(GREY[:0]), Fault.UNSUITABLE, "no images"),
        (npy(GREY[0, 0]), Fault.UNSUITABLE, "shape"),
        (npy(np.zeros((2, 9, 8, 4), np.uint8)), Fault.UNSUITABLE, "shape"),
        (npz(a=GREY, b=GREY), Fault.UNSUITABLE, "images"),
        (npz(images=GREY)[:-30], Fault.DAMAGED, "damaged"),
        (b"PK\x03\x04junk", Fault.DAMAGED, "damaged"),
    ],
)
def test_what_is_no_stack_has_a_reason(data, kind, reason):
    refused = refusal(data)
    assert refused.kind is kind
    assert reason in refused.reason


@pytest.mark.parametrize("data", [npy(GREY), npz(a_images=GREY[:3], b_images=GREY[3:])])
def test_more_images_than_allowed_are_refused(data):
    assert refusal(data, most=4).kind is Fault.TOO_LARGE


def test_archive_that_unfolds_to_too_much_is_not_unfolded(monkeypatch):
    monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 10_000)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unfolded"))
    bomb = npz(images=np.zeros((1000, 28, 28), np.uint8))
    assert len(bomb) < 10_000
    assert refusal(bomb).kind is Fault.TOO_LARGE


def test_archive_that_lies_about_its_size_is_damaged():
    data = bytearray(npz(images=np.zeros((100, 28, 28), np.uint8)))
    place = data.rindex(b"PK\x01\x02") + 24  # the size it says it unfolds to
    data[place : place + 4] = (500).to_bytes(4, "little")
    assert refusal(bytes(data)).kind is Fault.DAMAGED


def test_other_files_are_no_stacks():
    assert not is_stack(b"\x89PNG\r\n\x1a\n")
