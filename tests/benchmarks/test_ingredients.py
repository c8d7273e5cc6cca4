"""What each ingredient of the phantom teacher gives: every row is another training."""

import numpy as np

from benchmarks.ingredients import WITHOUT, _between, _figure, config_of
from medlabel.teacher.clip import load_clip
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, fingerprint, save_clip


def test_every_row_is_another_training():
    assert len({fingerprint(config_of(name, 90)) for name in WITHOUT}) == len(WITHOUT)
    assert config_of("as it is", 2500) == PretrainingConfig(looks=())


def test_steps_are_times_those_of_the_others():
    assert config_of("twice the steps", 90).steps == 180
    assert config_of("a third of the steps", 90).steps == 30
    assert config_of("input of 28 pixels", 90).steps == 90


def test_a_findings_figure_is_the_area_of_the_class_that_is_sought():
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    labels = np.array([[0], [1], [1]])
    assert _figure("pneumonia", scores, labels) == 1.0
    assert _figure("breast", scores, labels) == 1.0
    assert _figure("blood", scores, labels) == 2 / 3


def test_sets_are_told_apart_in_every_way(tmp_path):
    save_clip(build_clip(PretrainingConfig()), tmp_path)
    clip, dice = load_clip(str(tmp_path), "cpu"), np.random.default_rng(0)
    some = {
        name: dice.standard_normal((30, 64)).astype(np.float32) for name in ("chest", "pneumonia")
    }
    found = _between(clip, some, ("chest", "pneumonia"))
    assert list(found) == ["", "+ transduct", "+ em-prior", "+ prior"]
    assert all(0 <= value <= 1 for value in found.values())
