import numpy as np
import pytest
import torch

from medlabel.embeddings import EmbeddingTable
from medlabel.sources import open_source
from medlabel.store import Store
from medlabel.tasks import gather_images
from rayjobs import embed as job

pytestmark = pytest.mark.usefixtures("ray_cluster")
IDS = ["dark/train/3", "dark/val/1", "bright/train/3", "bright/val/1"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from medlabel.clip import load_clip
    from medlabel.contrastive import PretrainingConfig, build_clip, save_clip

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    config = PretrainingConfig()
    save_clip(build_clip(config), folder)
    return load_clip(str(folder), "cpu")


@pytest.fixture
def sources(dark, bright):
    return {str(path): open_source(str(path)) for path in (dark, bright)}


def test_each_image_is_encoded_once_and_like_by_hand(clip, sources, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "SHARD", 1)
    table = EmbeddingTable(Store(str(tmp_path)), clip.key, sources)
    told = []
    assert job.embed(clip, sources, IDS[:3], table) == 3
    assert job.embed(clip, sources, [*IDS, *IDS], table, lambda *p: told.append(p)) == 1
    assert told == [(1, 1)]
    assert job.embed(clip, sources, IDS, table) == 0
    by_hand = clip.embed_images(gather_images(sources, IDS))
    np.testing.assert_allclose(table.matrix(IDS), by_hand, atol=1e-3)


def test_shards_hold_one_split_each(monkeypatch):
    monkeypatch.setattr(job, "SHARD", 2)
    ids = sorted(["a/train/10", "a/train/9", "a/train/8", "a/val/0"], key=job._order)
    assert list(job._shards(ids)) == [["a/train/8", "a/train/9"], ["a/train/10"], ["a/val/0"]]
