import numpy as np
import pytest
import torch
from PIL import Image

from medlabel.data.framing import CentreSquare, grey_if_possible
from medlabel.data.listing import list_parts, pixels_of
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.teacher.clip import load_clip
from medlabel.teacher.digest_catalogue import catalogue
from medlabel.teacher.embeddings import EmbeddingTable
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, save_clip
from rayjobs.image_pipeline import Replicas
from rayjobs.pool import embed_pool, sample_rows


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    save_clip(build_clip(PretrainingConfig()), folder)
    return load_clip(str(folder), "cpu")


@pytest.fixture
def scans(tmp_path):
    root = tmp_path / "scans"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        image = Image.fromarray(rng.integers(0, 256, (30, 40), dtype=np.uint8))
        image.convert("RGB").save(root / f"{number}.png")
    (root / "6.png").write_bytes(b"no image")
    Image.new("L", (200, 2)).save(root / "7.png")
    return root


def files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("shard-*")}


@pytest.mark.parametrize(("counts", "size"), [([4, 0, 5], 6), ([3, 2], 100), ([0], 5)])
def test_a_sample_holds_each_image_once_and_follows_from_the_counts(counts, size):
    rows = sample_rows(counts, size, seed=1)
    assert sum(map(len, rows)) == min(size, sum(counts))
    for mine, count in zip(rows, counts, strict=True):
        assert mine.tolist() == sorted(set(mine.tolist()) & set(range(count)))
    for mine, again in zip(rows, sample_rows(counts, size, seed=1), strict=True):
        np.testing.assert_array_equal(mine, again)


def test_the_sample_of_a_seed_never_changes():
    assert [rows.tolist() for rows in sample_rows([3, 4], 4, seed=0)] == [[2], [0, 1, 3]]
    (rows,) = sample_rows([1_000], 5, seed=0)
    assert rows.tolist() == np.sort(np.random.default_rng(0).permutation(1_000)[:5]).tolist()


def test_the_seed_decides_the_sample():
    samples = {tuple(sample_rows([1000], 10, seed)[0].tolist()) for seed in range(5)}
    assert len(samples) == 5


def test_grey_images_in_colour_files_are_grey():
    images = np.repeat(np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1), 3, axis=3)
    assert grey_if_possible(images).shape == (2, 2, 2)
    images[1, 1, 1, 2] += 1
    assert grey_if_possible(images).shape == (2, 2, 2, 3)


@pytest.mark.usefixtures("ray_cluster", "one_thread")
def test_a_pool_is_what_reading_one_image_after_the_other_gives(clip, scans, dark, tmp_path):
    parts = [*list_parts(str(dark)), *list_parts(str(scans))]
    rows = sample_rows([part.count for part in parts], 60, seed=3)
    rows[-1] = np.arange(8)  # with the broken file, and the one that is too long and thin
    (scans / "0.png").unlink()  # after it was listed
    table = EmbeddingTable(Store(str(tmp_path / "table")), clip.key)
    progress = []
    pool = embed_pool(
        parts, rows, clip, table, 28, Replicas(), lambda *counts: progress.append(counts)
    )
    total = sum(map(len, rows))
    assert progress[-1] == (total, total)
    assert len(pool.images) == len(pool.digests) == len(pool.embeddings) == total - 3

    rows[-1] = np.arange(1, 6)
    contents = [list(part.read(mine)) for part, mine in zip(parts, rows, strict=True)]
    square = CentreSquare(28, 1)
    squares = np.stack([square(pixels_of(content)) for some in contents for content in some])
    np.testing.assert_array_equal(pool.images, squares)
    digests = [catalogue(part).digests[mine] for part, mine in zip(parts, rows, strict=True)]
    np.testing.assert_array_equal(pool.digests, np.concatenate(digests))
    arrays = np.stack([image for some in contents[:-1] for image in some])
    framed = np.stack([clip.framing(pixels_of(content)) for content in contents[-1]])
    by_hand = np.concatenate([clip.embed_images(arrays), clip.embed_images(framed)])
    np.testing.assert_array_equal(pool.embeddings, by_hand.astype(np.float16))

    before = files(tmp_path / "table")
    gone = tmp_path / "table" / f"model={clip.key}" / min(before)
    gone.unlink()
    again = embed_pool(parts, [*rows[:-1], np.arange(8)], clip, table, 28, Replicas())
    np.testing.assert_array_equal(again.embeddings, pool.embeddings)
    np.testing.assert_array_equal(again.images, pool.images)
    after = files(tmp_path / "table")
    assert after.keys() == before.keys()
    assert sum(after[name] != before[name] for name in before) == 1


def test_a_pool_without_an_image_is_refused(clip, dark, tmp_path):
    parts = list_parts(str(dark))
    table = EmbeddingTable(Store(str(tmp_path)), clip.key)
    with pytest.raises(MedlabelError, match="none of the images can be decoded"):
        embed_pool(parts, [np.zeros(0, np.int64)] * 3, clip, table, 28, Replicas())
