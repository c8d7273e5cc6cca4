from importlib.resources import files

import numpy as np
import pytest

from medlabel.evaluation.evidence import witnesses as module
from medlabel.evaluation.evidence.witnesses import (
    is_calibrated,
    read_world,
    witnesses_for,
    write_world,
)
from medlabel.evaluation.evidence.world import World, world_of
from medlabel.storage.digests import hex_digest
from medlabel.teacher.shipped_phantoms import SHIPPED_SEEDS

WORLDS = files("medlabel.evaluation.evidence") / "worlds"


def file_name(clip):
    return f"{clip.key}-{hex_digest('()', 8)}.npz"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("phantom", True), ("phantom-1", True), ("phantom-7", True), ("phantom+views", True),
        ("ViT-B-32", False), ("hf-hub:OWNER/phantom", False), ("", False),
    ],
)  # fmt: skip
def test_phantom_teachers_are_calibrated(name, known):
    assert is_calibrated(name) == known


@pytest.fixture
def asked(monkeypatch):
    """The seeds of the teachers that are loaded, and whether they read views."""
    seen = []
    monkeypatch.setattr(module, "_witness", lambda seed, _, views: seen.append((seed, views)))
    return seen


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        ("phantom", [0, 1, 2]),
        ("phantom-1", [1, 0, 2]),
        ("phantom-2", [2, 0, 1]),
        ("phantom-5", [5, 0, 1]),
        ("hf-hub:OWNER/NAME", [0, 1, 2]),
        ("", [0, 1, 2]),
    ],
)
def test_the_teacher_that_labels_is_asked_first(asked, tmp_path, name, seeds):
    witnesses_for(name, tmp_path)
    assert asked == [(seed, False) for seed in seeds]


def test_views_are_read_by_the_teacher_that_labels_alone(asked, tmp_path):
    witnesses_for("phantom-1+views", tmp_path)
    assert asked == [(1, True), (0, False), (2, False)]


def test_a_teacher_of_the_users_looks_is_asked_alone(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "added_sources", lambda: ("a look",))
    witnesses_for("phantom", tmp_path)
    assert asked == [(0, False)]


# If one of these fails after a change of looks or captions: run tools/ship_phantoms.py.
def test_there_is_a_world_for_each_shipped_teacher_and_no_other(witnesses):
    found = {path.name for path in WORLDS.iterdir()}
    assert found == {file_name(witness.clip) for witness in witnesses}
    assert len(found) == len(SHIPPED_SEEDS)


def test_the_shipped_world_is_that_of_the_shipped_teacher(witnesses):
    clip = witnesses[0].clip
    shipped = read_world((WORLDS / file_name(clip)).read_bytes())
    fresh = world_of(clip)
    assert shipped.looks == fresh.looks
    np.testing.assert_array_equal(shipped.caption_looks, fresh.caption_looks)
    np.testing.assert_array_equal(shipped.whole, fresh.whole)
    np.testing.assert_array_equal(shipped.image_looks, fresh.image_looks)
    np.testing.assert_allclose(shipped.captions, fresh.captions, atol=1e-4)
    np.testing.assert_allclose(shipped.images, fresh.images, atol=1e-3)  # float16
    for one, other in zip(shipped.nearness, fresh.nearness, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_nothing_is_computed_for_shipped_teachers(witness_home, witnesses):
    assert witnesses
    assert not (witness_home / "worlds").exists()


def test_other_worlds_are_computed_once_and_kept(tmp_path, monkeypatch, witnesses):
    worlds = []
    monkeypatch.setattr(module, "added_sources", lambda: ("a look",))
    monkeypatch.setattr(module, "world_of", lambda _: worlds.append(1) or tiny_world())
    first = module._kept_world(witnesses[0].clip, tmp_path)
    second = module._kept_world(witnesses[0].clip, tmp_path)
    assert len(worlds) == len(list((tmp_path / "worlds").iterdir())) == 1
    assert first.looks == second.looks == ("a", "b")


def tiny_world():
    rng = np.random.default_rng(0)
    return World(
        ("a", "b"), rng.random((3, 4), np.float32), np.array([0, 0, 1]),
        np.array([True, False, True]), rng.random((12, 4), np.float32), np.repeat([0, 1], 6),
        (np.linspace(0, 1, 6, dtype=np.float32), np.linspace(0, 0.5, 6, dtype=np.float32)),
    )  # fmt: skip


def test_a_written_world_is_read_again():
    world = tiny_world()
    again = read_world(write_world(world))
    assert again.looks == world.looks
    for name in ("captions", "caption_looks", "whole", "image_looks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(world, name))
    np.testing.assert_array_equal(again.images, world.images.astype(np.float16))
    assert again.images.dtype == np.float32
    assert len(again.nearness) == 2
    np.testing.assert_array_equal(again.nearness[1], world.nearness[1])
