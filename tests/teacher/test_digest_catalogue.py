from io import BytesIO
from itertools import chain

import numpy as np
import pytest
from PIL import Image
from support import write_npz

import medlabel.teacher.digest_catalogue as shards_module
from medlabel.data.decoding import ImageError
from medlabel.data.framing import CentreSquare, Framing
from medlabel.data.listing import FilesPart, list_parts, pixels_of
from medlabel.storage.digests import to_digests
from medlabel.storage.store import Store
from medlabel.teacher.digest_catalogue import (
    Catalogue,
    CatalogueStore,
    catalogue,
    missing_rows,
    read_pool,
    read_shards,
)
from medlabel.teacher.embeddings import Contents, EmbeddingTable, Shard

FRAMING = Framing(32, "shortest", "bicubic")


def encoded(image, kind="PNG"):
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def entry(*names):
    return Catalogue(to_digests([name.encode().ljust(16) for name in names]), (None,) * len(names))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "scans"
    root.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a", (40, 60)), ("b", (28, 28)), ("c", (28, 28, 3)), ("d", (300, 300))):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        (root / f"{name}.png").write_bytes(encoded(image))
    (root / "e.png").write_bytes(b"no image")
    return root


def test_of_equal_images_the_first_is_encoded():
    rows, distinct = missing_rows([entry("a", "b", "a"), entry("b", "c")], Contents())
    assert [cut.tolist() for cut in rows] == [[0, 1], [1]]
    assert distinct == 3


def test_what_the_table_has_is_not_missing(tmp_path):
    table = EmbeddingTable(Store(str(tmp_path)), "m")
    table.write(Shard(entry("b").digests, np.zeros((1, 2), np.float16), (None,)))
    rows, distinct = missing_rows([entry("a", "b"), entry("b")], table.contents())
    assert [cut.tolist() for cut in rows] == [[0], []]
    assert distinct == 2


def test_what_could_not_be_read_is_never_missing():
    broken = Catalogue(to_digests([bytes(16)] * 2), ("gone", "gone"))
    assert [cut.tolist() for cut in missing_rows([broken], Contents())[0]] == [[]]


def test_after_whole_shards_are_done_the_rest_is_cut_as_before():
    names = [f"{n}" for n in range(10)]
    (rows,), _ = missing_rows([entry(*names)], Contents())
    done = entry(*(names[row] for row in rows[4:8]))
    held = Contents(("s",), np.sort(done.digests), np.zeros(4, np.int32), np.zeros(4, np.int32))
    (rest,), _ = missing_rows([entry(*names)], held)
    assert [rest[i : i + 4].tolist() for i in (0, 4)] == [[0, 1, 2, 3], [8, 9]]


def test_a_catalogue_survives_its_file():
    original = Catalogue(to_digests([b"x" * 15 + b"\0", bytes(16)]), (None, "gone"))
    again = Catalogue.from_parquet(original.to_parquet())
    assert again.digests.tobytes() == original.digests.tobytes()
    assert again.reasons == original.reasons


def test_a_kept_catalogue_is_read_back_and_a_damaged_one_removed(tmp_path):
    part = list_parts(str(write_npz(tmp_path / "a.npz")))[0]
    kept = CatalogueStore(Store(str(tmp_path / "kept")))
    kept.write(part, entry("a", "b"))
    assert kept.read([part])[part.key].digests.tolist() == entry("a", "b").digests.tolist()
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert kept.read([part]) == {}
    assert not file.exists()


def test_what_could_not_be_read_is_read_again_by_the_next_run(tmp_path):
    part = list_parts(str(write_npz(tmp_path / "a.npz")))[0]
    kept = CatalogueStore(Store(str(tmp_path / "kept")))
    kept.write(part, Catalogue(to_digests([bytes(16)]), ("cannot be read: timed out",)))
    assert not kept.read([part], final=False)[part.key].final
    assert kept.read([part]) == {}
    assert kept.read([part], final=False) == {}


def test_small_arrays_stay_as_they_are(tmp_path):
    part = list_parts(str(write_npz(tmp_path / "a.npz")))[0]
    shards = list(read_shards(part, np.arange(part.count), FRAMING, 16))
    assert [len(shard.digests) for shard in shards] == [16, 16, 8]
    np.testing.assert_array_equal(shards[0].stacks[0], np.stack(list(part.read()))[:16])


def test_a_shard_of_large_images_has_fewer(tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "_MAX_SHARD_BYTES", 28 * 28 * 5 - 1)
    part = list_parts(str(write_npz(tmp_path / "a.npz")))[0]
    shards = list(read_shards(part, np.arange(part.count), FRAMING, 16))
    assert [len(shard.digests) for shard in shards] == [5] * 8


def test_files_of_many_shapes_are_stacks_and_the_rest_rejects(folder):
    (part,) = list_parts(str(folder))
    (shard,) = read_shards(part, np.arange(5), FRAMING)
    assert sum(len(stack) for stack in shard.stacks) == len(shard.digests) == 4
    assert {stack.shape[1] for stack in shard.stacks} <= {28, 32}
    assert len(shard.rejected) == len(shard.reasons) == 1
    kept = shard.embedded(np.ones((4, 7)))
    assert kept.embeddings.shape == (5, 7)
    assert [reason is None for reason in kept.reasons] == [True] * 4 + [False]


def by_digest(shards):
    """Every image in colour, by the name of its content."""
    return {
        digest: np.array(Image.fromarray(image).convert("RGB"))
        for shard in shards
        for digest, image in zip(shard.digests.tolist(), chain(*shard.stacks), strict=True)
    }


def test_an_image_is_read_the_same_whatever_is_read_with_it(folder):
    (part,) = list_parts(str(folder))
    together = by_digest(read_shards(part, np.arange(4), FRAMING))
    alone = by_digest(read_shards(part, np.arange(4), FRAMING, size=1))
    assert together.keys() == alone.keys()
    for digest, image in alone.items():
        np.testing.assert_array_equal(image, together[digest])


@pytest.mark.parametrize("shape", [(1, 40), (33 * 30, 30), (0, 7)])
def test_what_is_too_long_and_thin_is_a_reject(tmp_path, shape):
    with pytest.raises(ImageError, match="too long and thin"):
        shards_module.framed(np.zeros(shape, np.uint8), FRAMING)


def test_a_shard_of_rejects_alone_is_a_shard(folder):
    (part,) = list_parts(str(folder))
    (shard,) = read_shards(part, np.array([4]), FRAMING)
    assert shard.stacks == ()
    assert shard.embedded(np.zeros((0, 1))).embeddings.shape == (1, 1)


def test_the_catalogue_and_the_reader_agree_on_digests(folder):
    (part,) = list_parts(str(folder))
    (shard,) = read_shards(part, np.arange(4), FRAMING)
    assert set(shard.digests.tolist()) == set(catalogue(part).digests[:4].tolist())


SQUARE = CentreSquare(20, 3)


def test_the_pool_is_read_once_for_teacher_and_student(folder, monkeypatch):
    (part,) = list_parts(str(folder))
    decoded = []
    monkeypatch.setattr(
        shards_module, "pixels_of", lambda content: decoded.append(content) or pixels_of(content)
    )
    (shard,) = read_pool(part, np.array([0, 1, 3, 4]), FRAMING, SQUARE, Contents())
    assert len([content for content in decoded if isinstance(content, bytes)]) == 4
    assert (shard.read, shard.rows.tolist()) == (4, [0, 1, 3])
    (raw,) = read_shards(part, np.array([0, 1, 3, 4]), FRAMING)
    assert shard.new.reasons == raw.reasons
    for name in ("digests", "rejected"):
        assert getattr(shard.new, name).tolist() == getattr(raw, name).tolist()
    for mine, other in zip(shard.new.stacks, raw.stacks, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert shard.digests.tolist() == catalogue(part).digests[[0, 1, 3]].tolist()
    for square, content in zip(shard.squares, part.read(shard.rows), strict=True):
        np.testing.assert_array_equal(square, SQUARE(pixels_of(content)))


def test_images_of_the_pool_with_an_embedding_are_for_the_student_only(folder, tmp_path):
    (folder / "aa.png").write_bytes((folder / "a.png").read_bytes())  # equal to the one before
    (part,) = list_parts(str(folder))
    table = EmbeddingTable(Store(str(tmp_path / "table")), "m")
    known = catalogue(part).digests[[2, 5]]  # b.png, and e.png, which cannot be decoded
    table.write(Shard(known, np.zeros((2, 1), np.float16), (None, "damaged")))
    shards = list(read_pool(part, np.arange(6), FRAMING, SQUARE, table.contents(), size=4))
    assert [shard.rows.tolist() for shard in shards] == [[0, 1, 2, 3], [4]]
    new = np.concatenate([shard.new.digests for shard in shards])
    assert sorted(new.tolist()) == sorted(catalogue(part).digests[[0, 3, 4]].tolist())
    assert all(shard.new.reasons == () for shard in shards)


def test_an_image_of_the_pool_that_cannot_be_read_is_left_out(folder):
    (part,) = list_parts(str(folder))
    assert isinstance(part, FilesPart)
    (folder / "b.png").unlink()
    (shard,) = read_pool(part, np.arange(3), FRAMING, SQUARE, Contents())
    assert (shard.read, shard.rows.tolist(), len(shard.new)) == (3, [0, 2], 2)
    (folder / "c.png").unlink()
    (nothing,) = read_pool(part, np.array([1, 2]), FRAMING, SQUARE, Contents())
    assert (nothing.read, nothing.squares.shape, len(nothing.new)) == (2, (0, 20, 20, 3), 0)


def test_images_without_a_window_are_counted(tmp_path):
    for name, dtype in (("a", np.uint8), ("b", np.uint16), ("c", np.uint16)):
        Image.fromarray(np.arange(90, dtype=dtype).reshape(9, 10)).save(tmp_path / f"{name}.png")
    (part,) = list_parts(str(tmp_path))
    (shard,) = read_shards(part, np.arange(3), FRAMING)
    assert (len(shard.digests), shard.own_range) == (3, 2)
