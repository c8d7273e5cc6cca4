import os
import socket
import time
from pathlib import Path

import pytest
from support_images import image_folder, open_folder, png, without_rights

from medlabel.data.decoding import ImageError
from medlabel.data.listing import UNREADABLE, list_parts
from medlabel.data.listing.local import open_regular
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import local_file


@pytest.fixture
def folder(tmp_path):
    return image_folder(tmp_path / "scans")


def listed(source, **options):
    """The paths of images in a source, and the reasons for the rejects, by path."""
    images, rejects = [], {}
    for part in list_parts(str(source), **options):
        for row in range(part.count):
            name = part.address(row).removeprefix(str(source)).lstrip("/")
            if part.is_rejected:
                rejects[name] = part.reasons[row]
            else:
                images.append(name)
    return images, rejects


ALL = ["a.png", "c.png", "deep/b.png"]


def test_a_folder_that_cannot_be_listed_is_a_reject():
    with open_folder() as root:
        scans = image_folder(root / "scans")
        with without_rights(scans / "deep"):
            found = listed(scans)
        assert found == (["a.png", "c.png"], {"deep": "cannot be read: Permission denied"})
        assert listed(scans) == (ALL, {})


def test_a_source_that_cannot_be_listed_is_an_error():
    with open_folder() as root:
        scans = image_folder(root / "scans")
        with without_rights(scans), pytest.raises(MedlabelError, match="Permission denied"):
            list_parts(str(scans))
        with without_rights(root), pytest.raises(MedlabelError, match="Permission denied"):
            list_parts(str(scans))
        with (
            without_rights(scans / "deep"),
            pytest.raises(MedlabelError, match="deep: cannot be read: Permission denied"),
        ):
            list_parts(f"{scans}/**/b.png")  # nothing but rejects


def test_a_file_that_may_not_be_read_is_a_reject_until_it_may():
    with open_folder() as root:
        scans = image_folder(root / "scans")
        with without_rights(scans / "a.png"):
            found = listed(scans)
        assert found == (["c.png", "deep/b.png"], {"a.png": "cannot be read: Permission denied"})
        assert found[1]["a.png"].startswith(UNREADABLE)  # a label of it is kept
        assert listed(scans) == (ALL, {})


def test_a_folder_whose_path_is_too_long_is_a_reject(folder):
    place = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=place)
        place, above = os.open("d" * 250, os.O_RDONLY, dir_fd=place), place
        os.close(above)
    os.close(place)
    images, rejects = listed(folder)
    assert images == ALL
    assert list(rejects.values()) == ["cannot be read: File name too long"]


def test_linked_folders_and_files_are_followed(folder, tmp_path):
    other = tmp_path / "other"
    (other / "sub").mkdir(parents=True)
    (other / "sub" / "x.png").write_bytes(png(4))
    (other / "y.png").write_bytes(png(5))
    (folder / "link").symlink_to(other)
    (folder / "file.png").symlink_to(other / "y.png")  # `link/y.png`, too
    (folder / "z.png").symlink_to(tmp_path / "other" / ".." / "other" / "sub" / "x.png")
    (tmp_path / "alone.png").write_bytes(png(6))
    (folder / "one.png").symlink_to(tmp_path / "alone.png")
    (folder / "two.png").symlink_to(tmp_path / "alone.png")
    images, rejects = listed(folder)
    assert sorted(images) == sorted([*ALL, "link/sub/x.png", "link/y.png", "one.png"])
    assert rejects == {}
    assert listed(f"{folder}/*.png")[0] == [str(folder / name)[1:] for name in (
        "a.png", "c.png", "file.png", "one.png", "z.png",
    )]  # fmt: skip


def test_links_within_a_source_add_nothing(folder):
    (folder / "0.png").symlink_to(folder / "deep" / "b.png")
    (folder / "0").symlink_to(folder / "deep")
    (folder / "deep" / "again").symlink_to(folder)
    (folder / "deep" / "above").symlink_to("../..")
    (folder / "deep" / "self").symlink_to(".")
    (folder / "root").symlink_to("/")
    assert listed(folder) == (ALL, {})
    (folder / "shown").symlink_to(folder / ".hidden")
    assert listed(folder)[0] == [*ALL, "shown"]


def test_two_linked_folders_that_lead_to_each_other_are_listed_once(folder, tmp_path):
    for name, level in (("one", 4), ("two", 5)):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x.png").write_bytes(png(level))
    (tmp_path / "one" / "sub" / "l").symlink_to(tmp_path / "two")
    (tmp_path / "two" / "sub" / "l").symlink_to(tmp_path / "one")
    (folder / "l").symlink_to(tmp_path / "one" / "sub")
    assert listed(folder) == ([*ALL, "l/l/sub/x.png", "l/x.png"], {})


def test_a_source_may_itself_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert listed(tmp_path / "link") == (ALL, {})


def test_broken_links_are_rejects(folder):
    (folder / "gone.png").symlink_to("nothing.png")
    (folder / "loop").symlink_to("loop")
    broken = "cannot be read: a broken link, which leads to nothing"
    loop = "cannot be read: a link that leads back to itself"
    assert listed(folder) == (ALL, {"gone.png": broken, "loop": loop})


def test_what_is_no_file_is_rejected_without_being_opened(folder):
    os.mkfifo(folder / "pipe.png")
    (folder / "deep" / "device").symlink_to("/dev/zero")
    here = Path.cwd()
    os.chdir(folder)  # the name of a socket may have 107 bytes
    with socket.socket(socket.AF_UNIX) as some:
        some.bind("socket")
    os.chdir(here)
    images, rejects = listed(folder)
    assert images == ALL
    assert rejects == {
        "pipe.png": "a named pipe, not a file",
        "socket": "a socket, not a file",
        "deep/device": "a device, not a file",
    }


def test_a_pipe_in_the_place_of_a_listed_file_does_not_block(folder):
    (part,) = list_parts(str(folder))
    (folder / "a.png").unlink()
    os.mkfifo(folder / "a.png")
    (folder / "c.png").unlink()
    (folder / "c.png").mkdir()
    first, second, third = part.read()
    assert first.reason == "a named pipe, not a file"
    assert second.reason == "a folder, not a file"
    assert third == png(2)


def test_a_pipe_that_comes_between_check_and_opening_does_not_block(folder, monkeypatch):
    os.mkfifo(folder / "pipe")
    facts = os.stat(folder / "a.png")
    monkeypatch.setattr("os.stat", lambda path: facts)
    start = time.monotonic()
    with pytest.raises(ImageError, match="a named pipe"):
        open_regular(str(folder / "pipe"))
    assert time.monotonic() - start < 60


NAMES = (
    *(b"\xff\xfe.png", b"new\nline.png", b"\x1b[31m.png", b"a#3", b"100%.png", b"a::b.png"),
    *(b"-x.png", b" a ", b"[1]*?.png", b"\\xff.png", b"tab\t.png", b"caf\xc3\xa9.png", b"\xe9.png"),
)


def test_images_of_any_name_are_read_and_found_again_by_their_addresses(tmp_path):
    root = tmp_path / "odd[1]::*"
    root.mkdir()
    for level, name in enumerate(NAMES):
        (root / os.fsdecode(name)).write_bytes(png(level))
    (part,) = list_parts(str(root))
    contents = dict(zip(map(part.address, range(part.count)), part.read(), strict=True))
    assert len(contents) == len(NAMES)
    for address, content in contents.items():
        assert address.encode().decode().isprintable()
        assert local_file(address).read_bytes() == content
    ids = [part.image_id(row) for row in range(part.count)]
    assert all(image_id.isprintable() and image_id.encode() for image_id in ids)
    assert len(set(ids)) == len(NAMES)


def test_a_folder_of_an_odd_name_can_be_a_source(tmp_path):
    root = tmp_path / os.fsdecode(b"w\xffard\n")
    root.mkdir()
    (root / "a.png").write_bytes(png(1))
    (part,) = list_parts(str(root))
    assert part.image_id(0) == r"w\xffard\x0a/all/a.png"
    assert list(part.read()) == [png(1)]
    assert local_file(part.address(0)).read_bytes() == png(1)


def test_the_folder_of_results_and_the_cache_are_left_out(folder, tmp_path, monkeypatch):
    for name in ("labels", "cache"):
        (folder / name / "x").mkdir(parents=True)
        (folder / name / "x" / "history.parquet").write_bytes(b"PAR1")
    monkeypatch.setenv("MEDLABEL_HOME", str(folder / "cache"))
    (folder / "deep" / "link").symlink_to(folder / "labels")
    (folder / "deep" / "inner").symlink_to(folder / "labels" / "x")
    (folder / "deep" / "table").symlink_to(folder / "labels" / "x" / "history.parquet")
    assert listed(folder, left_out=[str(folder / "labels")]) == (ALL, {})
    (tmp_path / "link").symlink_to(folder / "labels")
    assert listed(folder, left_out=[str(tmp_path / "link")]) == (ALL, {})
    monkeypatch.chdir(folder)
    assert [part.names for part in list_parts(".", left_out=["labels"])] == [tuple(ALL)]
    assert [part.names for part in list_parts("**/*.p*", left_out=["labels"])] == [tuple(ALL)]
    for source in ("labels", str(tmp_path / "link"), "deep/../labels/."):
        with pytest.raises(MedlabelError, match="both a source and the folder of results"):
            list_parts(source, left_out=["labels"])
    with pytest.raises(MedlabelError, match="both a source and the folder that MEDLABEL_HOME"):
        list_parts("cache")
    (part,) = list_parts("*.png", left_out=["."])
    assert part.names == ("a.png", "c.png")


def test_a_source_within_the_folder_of_results_is_listed(folder):
    assert listed(folder / "deep", left_out=[str(folder)]) == (["b.png"], {})


def test_results_of_another_call_are_one_reject(folder):
    (folder / "old" / "annotations").mkdir(parents=True)
    (folder / "old" / "annotate.json").write_text('{"origin": {}}')
    (folder / "old" / "rejects.parquet").write_bytes(b"PAR1")
    (folder / "deep" / "run.json").write_text('{"scanner": 3}')  # of another program
    images, rejects = listed(folder)
    assert images == ["a.png", "c.png", "deep/b.png", "deep/run.json"]
    assert rejects.keys() == {"old"}
    assert rejects["old"].startswith("a folder of medlabel's own results")


def test_a_path_with_dots_is_the_same_source(folder, monkeypatch):
    monkeypatch.chdir(folder / "deep")
    addresses = {list_parts(source)[0].address(0) for source in ("..", "../.", "../deep/..")}
    assert addresses == {f"{folder}/a.png"}
