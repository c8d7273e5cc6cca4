"""Batches: every file gets its own answer."""

from hashlib import sha256
from io import BytesIO

import numpy as np
import torch
from broken_images import dicom_bytes, encoded
from PIL import Image

from medlabel.bundle import Bundle
from medlabel.students import Student
from serving.annotate import annotate
from serving.images import Refused


def _npy(array):
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _bundle():
    torch.manual_seed(0)
    return Bundle("b1", Student("small", 3, ["a", "b", "c"], 28).eval(), {})


def test_refused_files_do_not_spoil_their_batch():
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), dtype=np.uint8)
    files = [_npy(images[0]), b"junk", _npy(images[1])]
    first, junk, second = annotate(_bundle(), files)
    assert isinstance(junk, Refused)
    expected = _bundle().predict(images)
    for answer, data, row in zip((first, second), (files[0], files[2]), expected, strict=True):
        np.testing.assert_allclose(list(answer.probabilities.values()), row, atol=1e-5)
        assert answer.label == "abc"[row.argmax()]
        assert answer.confidence == max(answer.probabilities.values())
        assert answer.sha256 == sha256(data).hexdigest()


def test_batch_of_nothing_but_junk_is_answered():
    assert all(isinstance(answer, Refused) for answer in annotate(_bundle(), [b"a", b"b"]))


def test_one_picture_gets_one_answer_in_whichever_format_it_comes():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    files = [encoded(picture), encoded(picture, "TIFF"), dicom_bytes(pixels), _npy(pixels)]
    png, *others = annotate(_bundle(), files)
    for other in others:
        assert other.label == png.label
        np.testing.assert_allclose(
            list(other.probabilities.values()), list(png.probabilities.values()), atol=1e-6
        )
