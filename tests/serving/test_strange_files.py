"""A thousand files that were tampered with: no crash, and every refusal has a reason."""

import io

import numpy as np
import pytest
from broken_images import broken_files, good_files
from service_client import npy, picture

from medlabel.student.bundle import Bundle
from serving.annotate import Job, annotate
from serving.images import Budget
from serving.schemas import Annotation
from serving.uploads import Upload

COUNT = 1000


def _npz(array):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=array)
    return buffer.getvalue()


def _tampered(rng, data):
    """Bytes changed, cut out, put in or cut off."""
    kind, place = rng.integers(4), int(rng.integers(len(data)))
    some = rng.integers(0, 256, int(rng.integers(1, 9)), dtype=np.uint8).tobytes()
    if kind == 0:
        return data[:place] + some + data[place + len(some) :]
    if kind == 1:
        return data[:place] + data[place + len(some) :]
    if kind == 2:
        return data[:place] + some + data[place:]
    return data[:place]


@pytest.fixture(scope="module")
def results(bundle):
    rng = np.random.default_rng(0)
    whole = [content for _, _, content in good_files(40)]
    whole += [npy(picture(n, (3, 12, 12))) for n in range(5)]
    whole += [_npz(picture(n, (3, 12, 12))) for n in range(5)]
    files = [_tampered(rng, whole[n % len(whole)]) for n in range(COUNT)]
    assert isinstance(bundle, Bundle)
    jobs = [Job(bundle, [Upload("", data)], Budget(100), 0.9) for data in files]
    return annotate(jobs)


def test_each_gets_a_label_or_a_reason(results):
    assert len(results) == COUNT
    for answers in results:
        assert answers
        for one in answers:
            if isinstance(one, Annotation):
                assert one.label in one.probabilities
            else:
                assert one.status in (413, 415, 422)
                assert one.error
                assert "\n" not in one.error


def test_some_are_still_images_and_some_are_not(results):
    kinds = {type(one).__name__ for answers in results for one in answers}
    assert kinds == {"Annotation", "RefusedFile"}


def test_over_http_no_file_is_the_servers_fault(client):
    for _, name, data in broken_files(1):
        answer = client.post((name, data))
        assert 400 <= answer.status_code < 500
        assert answer.json()["detail"]
