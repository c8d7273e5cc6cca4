import numpy as np
import pytest

from medlabel.errors import MedlabelError
from medlabel.storage.digests import digest_bytes, digest_image, to_digests
from medlabel.storage.store import Store
from medlabel.teacher.embeddings import EmbeddingTable, Shard, embed_captions

DIGESTS = to_digests([digest_bytes(bytes([n])) for n in range(6)])
VALUES = np.arange(18, dtype=np.float16).reshape(6, 3)


@pytest.fixture
def table(tmp_path):
    return EmbeddingTable(Store(str(tmp_path)), "m")


def shard(rows, reasons=None):
    return Shard(DIGESTS[rows], VALUES[rows], tuple(reasons or [None] * len(rows)))


def test_what_is_written_is_gathered_in_any_order(table):
    table.write(shard([0, 1, 2]))
    table.write(shard([3, 4]))
    order = [4, 0, 3, 0]
    got = table.gather(table.contents(), DIGESTS[order])
    np.testing.assert_array_equal(got.embeddings, VALUES[order])
    assert table.contents().find(DIGESTS[[5, 1]]).tolist()[0] == -1


def test_what_is_not_there_is_not_made_up(table):
    table.write(shard([0, 1]))
    with pytest.raises(MedlabelError, match="lost 1 images"):
        table.gather(table.contents(), DIGESTS[[0, 5]])


def test_an_empty_table_knows_nothing(table):
    assert table.contents().find(DIGESTS).tolist() == [-1] * 6


def test_a_reject_is_kept_with_its_reason(table):
    table.write(shard([0, 1], [None, "truncated"]))
    got = table.gather(table.contents(), DIGESTS[[1, 0]])
    assert got.reasons == ("truncated", None)


def test_the_same_shard_twice_is_one_file(table):
    table.write(shard([0, 1]))
    table.write(shard([0, 1]))
    assert len(table.contents().names) == 1


def test_one_flipped_bit_is_found_and_what_it_held_is_missing(table, tmp_path):
    table.write(shard([0, 1]))
    table.write(shard([2]))
    path = tmp_path / "model=m" / table.contents().names[0]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert len(table.contents().digests) in (1, 2)
    assert not path.exists()


def test_other_models_have_tables_of_their_own(table, tmp_path):
    table.write(shard([0]))
    assert len(EmbeddingTable(Store(str(tmp_path)), "other").contents().digests) == 0


def test_a_digest_tells_pixels_and_shapes_apart():
    image = np.arange(16, dtype=np.uint8)
    digests = {digest_image(image.reshape(shape)) for shape in ((4, 4), (2, 8), (8, 2))}
    assert len(digests | {digest_image(image.reshape(4, 4) + 1)}) == 4


def test_digests_that_end_in_zeros_are_kept_whole(table):
    digests = to_digests([b"a" * 15 + b"\0", b"a" * 14 + b"\0\0"])
    table.write(Shard(digests, VALUES[:2], (None, None)))
    got = table.gather(table.contents(), digests[::-1])
    np.testing.assert_array_equal(got.embeddings, VALUES[1::-1])


def test_captions_are_embedded_once_and_in_full_precision(table):
    asked = []

    def embed(captions):
        asked.extend(captions)
        return np.array([[len(c), 1 / 3] for c in captions], dtype=np.float32)

    embed_captions(table, ["a", "bb"], embed)
    got = embed_captions(table, ["bb", "ccc", "a"], embed)
    assert asked == ["a", "bb", "ccc"]
    np.testing.assert_array_equal(got, np.float32([[2, 1 / 3], [3, 1 / 3], [1, 1 / 3]]))
