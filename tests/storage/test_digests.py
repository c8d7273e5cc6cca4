"""The digests agree with each other and with published values."""

import pytest

from medlabel.storage.digests import digest_bytes, file_digest, hex_digest, hex_digest_of_pieces

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def test_every_way_to_sha256_gives_the_published_value(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert hex_digest("abc") == hex_digest(b"abc") == file_digest(path) == ABC
    assert hex_digest_of_pieces([b"a", b"", b"bc"]) == ABC
    assert (hex_digest("abc", 12), digest_bytes(b"abc").hex()) == (ABC[:12], ABC[:32])


def test_a_file_may_have_another_algorithm(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert file_digest(path, "md5") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(OSError, match="no-file"):
        file_digest(tmp_path / "no-file")
