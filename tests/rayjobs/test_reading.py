import subprocess
import sys

import numpy as np

from medlabel.embeddings import to_digests
from medlabel.shards import RawShard
from rayjobs.reading import pack, unpack


def test_a_reader_does_not_import_torch():
    code = "import sys, rayjobs.reading; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_shard_comes_out_of_its_row_as_it_went_in():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    shard = RawShard(to_digests([b"a" * 16, b"b" * 16]), images, to_digests([b"c" * 16]), ("no",))
    back = unpack(pack(shard))
    np.testing.assert_array_equal(back.images, images)
    assert back.digests.tolist() == shard.digests.tolist()
    assert (back.rejected.tolist(), back.reasons) == (shard.rejected.tolist(), ("no",))


def test_a_digest_that_ends_in_zeros_keeps_them():
    digest = b"a" * 14 + b"\0\0"
    shard = RawShard(to_digests([digest]), np.zeros((1, 2, 2), np.uint8), to_digests([]), ())
    assert unpack(pack(shard)).digests.tobytes() == digest
