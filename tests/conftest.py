"""What many tests share: small files in MedMNIST's layout, the real images where they lie, Ray."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import write_npz

import rayjobs  # noqa: F401  (its settings must be there before a test imports Ray)
from medlabel import phantoms
from medlabel.phantoms import own
from medlabel.teacher.phantom_captions import kind_paraphrases, set_paraphrases

REAL = Path(os.environ.get("MEDLABEL_TEST_IMAGES", Path(__file__).parents[2] / "shared/medmnist"))


@pytest.fixture
def dark(tmp_path):
    return write_npz(tmp_path / "dark.npz", level=60)


@pytest.fixture
def bright(tmp_path):
    return write_npz(tmp_path / "bright.npz", level=170)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache where huggingface_hub looks for its files."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip(f"no real images at {REAL}: set MEDLABEL_TEST_IMAGES to their folder")
    return REAL


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    import ray

    from rayjobs.cluster import connect

    connect()
    yield
    ray.shutdown()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As workers have it: sums of more threads differ in their last bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def looks_restored(monkeypatch):
    """Looks that a test adds are gone after it."""
    monkeypatch.setattr(own, "_TEXTS", {})
    before = dict(phantoms._LOOKS)
    yield
    phantoms._LOOKS.clear()
    phantoms._LOOKS.update(before)
    for cached in (kind_paraphrases, set_paraphrases):
        cached.cache_clear()
