from dataclasses import fields

import numpy as np

from medlabel.annotation.table import DecodedPiece
from medlabel.storage.digests import to_digests
from medlabel.teacher.digest_catalogue import PoolShard, RawShard
from rayjobs.image_reading import pack, pack_pool, pack_prepared, unpack, unpack_prepared


def shard(*shapes, reasons=()):
    stacks = tuple(np.full(shape, n, dtype=np.uint8) for n, shape in enumerate(shapes))
    digests = to_digests([bytes([n]) * 16 for n in range(1, 1 + sum(s[0] for s in shapes))])
    return RawShard(stacks, digests, to_digests([b"r" * 16] * len(reasons)), reasons, 2)


def test_a_shard_survives_its_row():
    sent = shard((3, 28, 28), (2, 32, 32, 3), reasons=("two\nlines", "no"))
    got = unpack(pack(sent))
    for mine, theirs in zip(sent.stacks, got.stacks, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert got.digests.tolist() == sent.digests.tolist()
    assert (got.rejected.tolist(), got.reasons) == (sent.rejected.tolist(), sent.reasons)
    assert got.own_range == 2


def test_a_shard_of_rejects_survives_its_row():
    got = unpack(pack(shard(reasons=("damaged",))))
    assert (got.stacks, got.reasons, len(got.digests)) == ((), ("damaged",), 0)


def test_a_piece_to_label_survives_its_row():
    images = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    digests = to_digests([bytes(16), b"d" * 16])
    chroma, addresses = np.array([0, 0.25], np.float32), ("/a.png", "/b\n.png")
    unchanged, places = np.array([False, True]), np.arange(2, dtype=np.int32)
    sent = DecodedPiece(
        4,
        addresses,
        ("s", "t"),
        images,
        chroma,
        digests,
        ("broken", None),
        ~unchanged,
        unchanged,
        places,
        unchanged,
    )
    got = unpack_prepared(pack_prepared(sent))
    for field in fields(DecodedPiece):
        np.testing.assert_array_equal(getattr(got, field.name), getattr(sent, field.name))


def test_a_shard_of_the_pool_survives_its_row():
    new = shard((1, 28, 28), reasons=("no",))
    squares = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    digests = to_digests([b"a" * 16, b"b" * 16])
    row = pack_pool(7, PoolShard(3, new, np.array([5, 9]), digests, squares))
    assert unpack(row).digests.tolist() == new.digests.tolist()
    assert (row["number"], row["images"]) == (7, 3)
    assert np.frombuffer(row["pool_rows"], dtype=np.int64).tolist() == [5, 9]
    assert row["pool_squares"] == squares.tobytes()
