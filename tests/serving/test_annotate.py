"""Batches: every file gets its own answer, whosever it is."""

from hashlib import sha256

import numpy as np
import pytest
import torch
from broken_images import dicom_bytes, encoded
from PIL import Image
from service_client import npy, picture

from medlabel.student.bundle import Bundle
from medlabel.student.networks import Student
from serving.annotate import Job, annotate
from serving.images import Budget
from serving.schemas import Annotation, RefusedFile
from serving.uploads import Upload


def make_bundle(name="b1", seed=0):
    torch.manual_seed(seed)
    return Bundle(name, Student("small", 3, ["a", "b", "c"], 28).eval(), {})


def job(*files, bundle=None, images=100):
    uploads = [Upload(str(place), data) for place, data in enumerate(files)]
    return Job(bundle or make_bundle(), uploads, Budget(images), 0.9)


def test_refused_files_do_not_spoil_their_batch():
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), dtype=np.uint8)
    files = [npy(images[0]), b"junk", npy(images[1])]
    ((first, junk, second),) = annotate([job(*files)])
    assert isinstance(junk, RefusedFile)
    expected = make_bundle().predict(images)
    for answer, data, row in zip((first, second), (files[0], files[2]), expected, strict=True):
        np.testing.assert_allclose(list(answer.probabilities.values()), row, atol=1e-5)
        assert answer.label == "abc"[row.argmax()]
        assert answer.confidence == max(answer.probabilities.values())
        assert answer.sha256 == sha256(data).hexdigest()


def test_jobs_of_several_students_are_not_mixed_up():
    bundles = [make_bundle("b1", 1), make_bundle("b2", 2)]
    data = npy(picture(3))
    answers = annotate([job(data, bundle=bundles[n % 2]) for n in range(6)])
    assert [answer[0].bundle for answer in answers] == ["b1", "b2"] * 3
    assert answers[0][0].probabilities != answers[1][0].probabilities


def test_batch_of_nothing_but_junk_is_answered():
    (answers,) = annotate([job(b"a", b"b")])
    assert [answer.status for answer in answers] == [415, 415]


def test_one_picture_gets_one_answer_in_whichever_format_it_comes():
    pixels = picture(0, (40, 50, 3))
    files = [encoded(Image.fromarray(pixels)), encoded(Image.fromarray(pixels), "TIFF")]
    ((png, *others),) = annotate([job(*files, dicom_bytes(pixels), npy(pixels))])
    for other in others:
        assert other.label == png.label
        np.testing.assert_allclose(
            list(other.probabilities.values()), list(png.probabilities.values()), atol=1e-6
        )


def test_inverted_film_gets_the_label_of_the_film():
    film = picture(1)
    inverted = dicom_bytes(255 - film, PhotometricInterpretation="MONOCHROME1")
    ((plain, other),) = annotate([job(dicom_bytes(film), inverted)])
    assert plain.probabilities == other.probabilities


@pytest.mark.parametrize("stacked", [True, False])
def test_more_images_than_a_request_may_have_are_refused(stacked):
    images = [picture(n, (9, 9)) for n in range(5)]
    files = [npy(np.stack(images))] if stacked else [npy(one) for one in images]
    (answers,) = annotate([job(*files, images=3)])
    assert answers[-1].status == 413
    assert sum(isinstance(answer, Annotation) for answer in answers) == (0 if stacked else 3)


def test_answers_are_what_their_types_say():
    ((answer, refused),) = annotate([job(npy(picture()), b"junk")])
    assert Annotation.model_validate(answer.model_dump()) == answer
    assert RefusedFile.model_validate(refused.model_dump()) == refused
