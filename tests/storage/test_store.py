from contextlib import suppress
from uuid import uuid4

import pandas as pd
import pytest
from filelock import FileLock, Timeout
from support_images import open_folder, without_rights

from medlabel.errors import MedlabelError
from medlabel.storage.store import Store, checked_stem, refuse_different


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path):
    return Store(str(tmp_path) if request.param == "folder" else f"memory://{uuid4().hex}")


def test_what_is_written_is_read(store):
    (store / "cells").write("a/b.bin", b"one")
    store.write("cells/a/b.bin", b"two")
    assert store.read("cells/a/b.bin") == b"two"
    assert store.list("cells/a/*") == ["cells/a/b.bin"]


def test_tables_and_json_keep_their_values(store):
    frame = pd.DataFrame({"id": ["x", "y"], "score": [0.25, 0.75]})
    store.write_table("t.parquet", frame)
    store.write_json("j.json", {"b": [1, None], "a": "ä"})
    pd.testing.assert_frame_equal(store.read_table("t.parquet"), frame)
    assert store.read_json("j.json") == {"b": [1, None], "a": "ä"}


def test_equal_values_are_equal_files(store):
    store.write_json("one.json", {"a": 1, "b": 2})
    store.write_json("two.json", {"b": 2, "a": 1})
    assert store.read("one.json") == store.read("two.json")


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, failure
):
    store = Store(str(tmp_path))
    store.write("a.bin", b"old")

    def half(path, data):
        with open(path, "wb") as file:
            file.write(data[:1])
        raise failure

    monkeypatch.setattr(store._fs, "pipe_file", half)
    with pytest.raises((MedlabelError, KeyboardInterrupt)):
        store.write("a.bin", b"new")
    assert store.read("a.bin") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_full_disk_is_one_line(tmp_path, monkeypatch):
    store = Store(str(tmp_path))

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._fs, "pipe_file", full)
    with pytest.raises(MedlabelError, match=r"cannot write .*a\.bin: No space left on device"):
        store.write("a.bin", b"new")


def test_folder_that_cannot_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MedlabelError, match="cannot write"):
        Store(str(tmp_path / "file")).check_writable()


def test_check_leaves_nothing_behind(tmp_path):
    Store(str(tmp_path)).check_writable()
    assert list(tmp_path.iterdir()) == []


def test_missing_file_is_one_line(store):
    with pytest.raises(MedlabelError, match=r"cannot read .*none\.json: no such file"):
        store.read_json("none.json")


def test_damaged_files_are_one_line(store):
    store.write("t.parquet", b"PAR1 junk")
    store.write("j.json", b"{")
    with pytest.raises(MedlabelError, match="not an intact Parquet file"):
        store.read_table("t.parquet")
    with pytest.raises(MedlabelError, match="is not JSON"):
        store.read_json("j.json")


def test_json_of_another_encoding_is_one_line(store):
    store.write("j.json", b'"\xff\xfe"')
    with pytest.raises(MedlabelError, match="is not JSON"):
        store.read_json("j.json")


def test_remove_takes_one_file_and_forgives_its_absence(store):
    store.write("cells/a.bin", b"one")
    store.write("cells/b.bin", b"two")
    store.remove("cells/a.bin")
    store.remove("cells/a.bin")
    assert store.list("cells/*") == ["cells/b.bin"]
    with suppress(MedlabelError):  # a folder; in a bucket there is nothing of this name
        store.remove("cells")
    assert store.exists("cells/b.bin")


def test_local_folder_is_absolute_for_workers_have_other_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store("runs/demo").uri == str(tmp_path / "runs/demo")


def test_unknown_kind_of_bucket_is_one_line():
    with pytest.raises(MedlabelError, match="cannot open nosuch://x"):
        Store("nosuch://x")


def test_folders_with_glob_characters_are_listed(tmp_path):
    store = Store(str(tmp_path / "run[1]*"))
    store.write("a/b.json", b"x")
    assert store.list("*/b.json") == ["a/b.json"]


def test_probing_leaves_nothing(tmp_path):
    Store(str(tmp_path / "new")).check_writable()
    assert list(tmp_path.iterdir()) == []


def test_probing_leaves_what_another_command_writes_meanwhile(tmp_path, monkeypatch):
    """As two commands do that start at the same time with the same new folder."""
    probed, other = Store(str(tmp_path / "deep/new")), Store(str(tmp_path / "deep/new"))
    write = Store.write

    def both(self, name, data):
        write(self, name, data)
        write(other, "label.json", b"{}")

    monkeypatch.setattr(Store, "write", both)
    probed.check_writable()
    assert other.list("*") == ["label.json"]
    assert other.read("label.json") == b"{}"


def test_a_file_is_written_although_another_command_removes_its_empty_folder(tmp_path, monkeypatch):
    store = Store(str(tmp_path / "new"))
    makedirs, calls = store._fs.makedirs, []

    def made_and_removed(path, exist_ok):
        makedirs(path, exist_ok=exist_ok)
        calls.append(path)
        if len(calls) < 3:
            store._fs.rmdir(path)

    monkeypatch.setattr(store._fs, "makedirs", made_and_removed)
    store.write("a.json", b"1")
    assert store.read("a.json") == b"1"


def test_a_lock_keeps_others_waiting_until_its_end(tmp_path):
    store = Store(str(tmp_path / "new"))
    with store.locked("table"), pytest.raises(Timeout):
        FileLock(store.path(".table.lock"), timeout=0).acquire()
    with store.locked("table"):
        pass
    with Store("memory://bucket").locked("table"):
        pass


def test_a_checked_file_is_read_until_a_bit_of_it_changes(store):
    name = store.write_checked("part-a", ".bin", b"content")
    assert (store.list("*"), checked_stem(name)) == ([name], "part-a")
    assert store.read_checked(name) == b"content"
    store.write(name, b"Content")
    assert store.read_checked(name) is None


def test_a_folder_of_another_version_says_which_number_was_raised(store):
    then = {"classes": ["a"], "code_versions": {"preprocessing": 1, "training": 2}}
    now = {"classes": ["a"], "code_versions": {"preprocessing": 2, "training": 2}}
    refuse_different(store, then, then, "other labels")
    with pytest.raises(MedlabelError, match=r"preprocessing 1, now 2\).*choose another --out"):
        refuse_different(store, then, now, "other labels")


@pytest.mark.parametrize("name", ["part.bin", "part-.bin", "part-ed70.bin", "part-a/b.bin"])
def test_a_file_without_a_checksum_in_its_name_is_not_taken_for_a_whole_one(store, name):
    store.write(name, b"content")
    assert store.read_checked(name) is None


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one():
    with open_folder() as root:
        store = Store(str(root))
        store.write("cells/seed-1/cell.json", b"")
        store.write("cells/other.json", b"")
        assert store.list("cells/seed-*/cell.json") == ["cells/seed-1/cell.json"]
        assert store.list("nothing/*") == store.list("cells/other.json/*") == []
        with (
            without_rights(root / "cells"),
            pytest.raises(MedlabelError, match=r"cannot list .*cells: Permission denied"),
        ):
            store.list("cells/seed-*/cell.json")


def test_a_path_is_not_read_as_a_url(tmp_path):
    store = Store(str(tmp_path / "a::b[1]")) / "c::d"
    store.write("x::*.json", b"1")
    assert (tmp_path / "a::b[1]" / "c::d" / "x::*.json").read_bytes() == b"1"
    assert store.list("*.json") == ["x::*.json"]
