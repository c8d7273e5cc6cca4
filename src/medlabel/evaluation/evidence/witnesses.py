"""Which teachers are asked about a task, and what is kept of them between tasks."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path

import numpy as np

from medlabel.evaluation.evidence.reading import Witness
from medlabel.evaluation.evidence.world import World, world_of
from medlabel.phantoms.own import added_sources
from medlabel.storage.digests import hex_digest
from medlabel.storage.home import home_store
from medlabel.teacher.clip import VIEWS, Clip, base_name, load_clip
from medlabel.teacher.phantom_clip import PretrainingConfig, is_phantom, pretraining_named
from medlabel.teacher.phantom_store import ensure_phantom_clip
from medlabel.teacher.shipped_phantoms import SHIPPED_SEEDS

__all__ = ["is_calibrated", "read_world", "witnesses_for", "write_world"]

_KEPT = ("captions", "caption_looks", "whole", "image_looks")


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


_LOADED: dict[tuple[int, bool, tuple[str, ...]], Witness] = {}


def _witness(seed: int, home: Path, views: bool) -> Witness:
    """Load a phantom teacher, once per process, and what it knows."""
    key = seed, views, added_sources()
    if key not in _LOADED:
        folder = ensure_phantom_clip(home, PretrainingConfig(seed=seed))
        clip = load_clip(folder + (VIEWS if views else ""), "cpu")
        _LOADED[key] = Witness(clip, _kept_world(clip, home))
    return _LOADED[key]


def _kept_world(clip: Clip, home: Path) -> World:
    """What a teacher knows: from the package, from the home, or computed now."""
    name = f"{clip.key}-{hex_digest(repr(added_sources()), 8)}.npz"
    shipped = files("medlabel.evaluation.evidence") / "worlds" / name
    if shipped.is_file():
        return read_world(shipped.read_bytes())
    store = home_store(home, "worlds")
    if not store.exists(name):
        store.write(name, write_world(world_of(clip)))
    return read_world(store.read(name))


def write_world(world: World) -> bytes:
    """Serialise what a teacher knows as an npz; embeddings are rounded to float16."""
    kept = {key: getattr(world, key) for key in _KEPT}
    kept |= {f"near_{number}": values for number, values in enumerate(world.nearness)}
    written = io.BytesIO()
    images = world.images.astype(np.float16)
    np.savez_compressed(written, looks=np.array(world.looks), images=images, **kept)
    return written.getvalue()


def read_world(content: bytes) -> World:
    """Read what `write_world` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        looks = tuple(arrays["looks"].tolist())
        near = tuple(arrays[f"near_{number}"] for number in range(len(looks)))
        kept = {key: arrays[key] for key in _KEPT}
        return World(looks, images=arrays["images"].astype(np.float32), nearness=near, **kept)
