"""Which teachers are asked about a task, and what is kept of them between tasks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from medlabel.evaluation.evidence.reading import Witness
from medlabel.evaluation.evidence.world import World, world_of
from medlabel.phantoms.own import added_sources
from medlabel.storage.digests import hex_digest
from medlabel.storage.store import Store
from medlabel.teacher.clip import VIEWS, Clip, base_name, load_clip
from medlabel.teacher.phantom_clip import PretrainingConfig, is_phantom, pretraining_named
from medlabel.teacher.phantom_store import ensure_phantom_clip
from medlabel.teacher.shipped_phantoms import SHIPPED_SEEDS

__all__ = ["is_calibrated", "witnesses_for"]

_KEPT = ("captions", "caption_looks", "whole", "images", "image_looks")


def is_calibrated(name: str) -> bool:
    """Whether a teacher of this name is a phantom CLIP, for which the estimate was calibrated."""
    return is_phantom(base_name(name))


def witnesses_for(name: str, home: Path) -> list[Witness]:
    """Load the teachers that are asked about the labels of a teacher.

    | the teacher | who is asked |
    | --- | --- |
    | a phantom CLIP | the teacher, then two others of the package |
    | one that has also learned looks of the user | the teacher alone: no other knows these looks |
    | any other model | the three phantom CLIPs of the package |

    Args:
        name: of the teacher that labels, as a user types it.
        home: folder of the phantom CLIPs, and of what is computed once for each.
    """
    seeds = list(SHIPPED_SEEDS)
    if is_calibrated(name):
        own = pretraining_named(base_name(name))
        others = [seed for seed in SHIPPED_SEEDS if seed != own.seed][:2]
        seeds = [own.seed] if added_sources() else [own.seed, *others]
    views = is_calibrated(name) and name.endswith(VIEWS)
    return [_witness(seed, home, views and row == 0) for row, seed in enumerate(seeds)]


def _witness(seed: int, home: Path, views: bool) -> Witness:
    folder = ensure_phantom_clip(home, PretrainingConfig(seed=seed))
    clip = load_clip(folder + (VIEWS if views else ""), "cpu")
    return Witness(clip, _kept_world(clip, home))


def _kept_world(clip: Clip, home: Path) -> World:
    """The world of a teacher, from the home if it is there."""
    store = Store(str(home / "worlds"))
    name = f"{clip.key}-{hex_digest(repr(added_sources()), 8)}.npz"
    if store.exists(name):
        with np.load(io.BytesIO(store.read(name)), allow_pickle=False) as arrays:
            looks = tuple(arrays["looks"].tolist())
            near = tuple(arrays[f"near_{number}"] for number in range(len(looks)))
            return World(looks, **{key: arrays[key] for key in _KEPT}, nearness=near)
    world = world_of(clip)
    written = io.BytesIO()
    kept = {key: getattr(world, key) for key in _KEPT}
    kept |= {f"near_{number}": values for number, values in enumerate(world.nearness)}
    np.savez(written, looks=np.array(world.looks), **kept)
    store.write(name, written.getvalue())
    return world
