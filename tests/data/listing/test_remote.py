import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem
from support_images import png

from medlabel.data.listing import list_parts
from medlabel.data.listing.remote import find_remote
from medlabel.errors import MedlabelError


@pytest.fixture
def bucket():
    fs = fsspec.filesystem("memory")
    for name in ("a.png", "c::d.png", "deep/b.png", ".hidden/x.png", "x\ny#3"):
        fs.pipe_file(f"/scans/{name}", png(1))
    yield fs
    fs.rm("/scans", recursive=True)


def test_files_of_a_bucket_are_listed_and_read(bucket):
    (part,) = list_parts("memory://scans")
    assert [part.image_id(row) for row in range(part.count)] == [
        "scans/all/a.png", "scans/all/c::d.png", "scans/all/deep/b.png", r"scans/all/x\x0ay\x233",
    ]  # fmt: skip
    assert part.address(0) == "memory:///scans/a.png"
    assert list(part.read()) == [png(1)] * 4


def test_patterns_and_single_files_of_a_bucket(bucket):
    (part,) = list_parts("memory://scans/**/?.png")
    assert part.names == ("a.png", "deep/b.png")
    (part,) = list_parts("memory://scans/deep/b.png")
    assert part.image_id(0) == "b/all/b.png"
    (part,) = list_parts("memory://scans/*.png")
    assert part.names == ("a.png", "c::d.png")
    with pytest.raises(MedlabelError, match="no file fits this pattern"):
        list_parts("memory://scans/*.dcm")
    with pytest.raises(MedlabelError, match="no such file or folder"):
        list_parts("memory://nothing")


def test_results_in_a_bucket_are_left_out(bucket):
    bucket.pipe_file("/scans/out/rejects.parquet", b"PAR1")
    bucket.pipe_file("/scans/old/label.json", b'{"code_versions": {}}')
    bucket.pipe_file("/scans/old/summary/x.png", png(2))
    files, rejects = list_parts("memory://scans", left_out=["memory://scans/out", "/scans/deep"])
    assert files.names == ("a.png", "c::d.png", "deep/b.png", "x\ny#3")
    assert [rejects.address(row) for row in range(rejects.count)] == ["memory:///scans/old"]
    with pytest.raises(MedlabelError, match="both a source and the folder of results"):
        list_parts("memory://scans", left_out=["memory://scans"])


class Share(MemoryFileSystem):
    """A store that is listed folder by folder, and one folder of which is forbidden."""

    protocol = "share"
    find = AbstractFileSystem.find

    def ls(self, path, detail=True, **kwargs):
        if path.endswith("/deep"):
            raise PermissionError(13, "Permission denied", path)
        return super().ls(path, detail, **kwargs)


def test_a_folder_that_cannot_be_listed_is_a_reject(bucket):
    found = find_remote(Share(), "/scans")
    assert found.files.keys() == {"a.png", "c::d.png", "x\ny#3"}
    assert found.rejects == {"deep": "cannot be read: Permission denied"}
    with pytest.raises(PermissionError):
        find_remote(Share(), "/scans/deep")
