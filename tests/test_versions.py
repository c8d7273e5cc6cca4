"""A result that changes raises its version number: see `medlabel.versions`."""

import shutil
from dataclasses import replace
from functools import cache

import pytest
from golden import outputs as golden_outputs
from golden.outputs import GOLDEN
from golden.recording import FOLDER, NotRaisedError, problem, record

from medlabel import phantoms, versions
from medlabel.data import tasks
from medlabel.data.decoding import dicom
from medlabel.phantoms import acquisition
from medlabel.student import augment, calibration, fit, losses, training
from medlabel.student.networks import cnn, student
from medlabel.student.outsiders import detector
from medlabel.teacher import (
    adjust,
    captions,
    clip,
    phantom_captions,
    phantom_clip,
    phantom_training,
)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_result_that_changed_has_a_new_number(name):
    found = problem(name, GOLDEN[name])
    assert found is None, found


def test_every_number_has_recorded_outputs():
    numbers = {name for name in versions.__all__ if isinstance(getattr(versions, name), int)}
    assert numbers == set(GOLDEN)


def _longer(caption):
    return f"{caption}."


def _in_other_order(rng, candidates, n, sample=tasks._sample):
    return sample(rng, [ids[::-1] for ids in candidates], n)


_UNCHANGED_OUTSIDERS = cache(golden_outputs._outsiders)
_DEFAULTS = (*acquisition.photograph.__defaults__[:-1], 0.0204)  # its noise is 0.02
_MOVES = ((0, 0), (1, 1), (0, -1), (1, 0), (-1, 0))
_WORDINGS = tuple(map(_longer, phantom_captions._WORDINGS))
CHANGES = [
    ("TRAINING", losses, "_ALPHA", 0.101),
    ("TRAINING", losses, "_MEMORY", 0.71),
    ("TRAINING", losses, "_PULL", 3.01),
    ("TRAINING", training, "_EMA_DECAY", 0.969),
    ("TRAINING", augment, "_SHIFT", 3 / 28),
    ("TRAINING", augment, "_MARGIN", 0.35),
    ("TRAINING", fit, "VALIDATION_SHARE", 0.25),
    ("TRAINING", fit, "_FOLDS", 4),
    ("TRAINING", calibration, "OOD_QUANTILE", 0.98),
    ("TRAINING", detector, "CHROMA_LIMIT", 0.01),
    ("TRAINING", detector, "CONTRAST_QUANTILE", 0.5),
    ("TRAINING", cnn, "_GROUPS", 4),
    ("PHANTOMS", acquisition.photograph, "__defaults__", _DEFAULTS),
    ("PHANTOMS", phantoms, "chunk_size", lambda size: 32),
    ("CAPTIONS", captions, "PAPER_TEMPLATE", _longer(captions.PAPER_TEMPLATE)),
    ("CAPTIONS", phantom_captions, "_WORDINGS", _WORDINGS),
    ("TEACHER_TRAINING", phantom_clip, "_FIRST_SCALE", 30.1),
    ("TEACHER_TRAINING", phantom_training, "_STRANGE", 501),
    ("PREPROCESSING", clip, "_MOVES", _MOVES),
    ("PREPROCESSING", dicom, "_windowed", lambda values, _: (values, 0.0, 4095.0)),
    ("SAMPLING", tasks, "_sample", _in_other_order),
    ("SCORES", adjust, "_SPREAD", 0.801),
    ("SCORES", adjust, "_NEIGHBOURS", 9),
    ("DECISIONS", student._Normalise, "forward", lambda _, pixels: (pixels.float() - 127) / 127.5),
]


@pytest.mark.parametrize(
    ("name", "owner", "constant", "value"), CHANGES, ids=[f"{one[0]}-{one[2]}" for one in CHANGES]
)
def test_a_changed_constant_fails_until_its_number_is_raised(
    monkeypatch, tmp_path, name, owner, constant, value
):
    """And until the new outputs are recorded, which is refused before the number is raised."""
    folder = shutil.copytree(FOLDER, tmp_path / "golden")
    number = getattr(versions, name)
    if owner is not detector:  # no other constant decides it, and fitting it takes seconds
        monkeypatch.setattr(golden_outputs, "_outsiders", _UNCHANGED_OUTSIDERS)
    monkeypatch.setattr(owner, constant, value)
    outputs = GOLDEN[name].make()
    changed = replace(GOLDEN[name], make=lambda: outputs)
    assert f"raise {name} to {number + 1}" in str(problem(name, changed, folder))
    with pytest.raises(NotRaisedError, match=f"versions.{name} is still {number}"):
        record(name, changed, folder)
    monkeypatch.setattr(versions, name, number + 1)
    assert "record the new outputs with" in str(problem(name, changed, folder))
    assert record(name, changed, folder).startswith("recorded")
    assert problem(name, changed, folder) is None
