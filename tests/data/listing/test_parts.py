from dataclasses import astuple, fields, make_dataclass, replace

import pytest
from support_images import image_folder, png

from medlabel.data.listing import NpzPart, Part, PhantomPart, digest_of, list_parts


@pytest.fixture
def folder(tmp_path):
    return image_folder(tmp_path / "scans")


def test_an_address_says_where_an_image_is(folder, dark):
    (part,) = list_parts(str(folder))
    assert part.address(2) == f"{folder}/deep/b.png"
    assert list_parts(str(dark))[1].address(3) == f"{dark}#val/3"
    assert list_parts("phantom:breastmnist")[0].address(0) == "phantom:breastmnist#train/0"


def test_a_rewritten_file_changes_the_key_of_its_part(folder):
    before = list_parts(str(folder))[0].key
    assert list_parts(str(folder))[0].key == before
    (folder / "a.png").write_bytes(png(1, (9, 9)))
    assert list_parts(str(folder))[0].key != before


def test_equal_content_has_one_digest(folder):
    (folder / "copy.png").write_bytes(png(1))
    (part,) = list_parts(str(folder))
    digests = [digest_of(content) for content in part.read()]
    assert len(digests) == 4
    assert len(set(digests)) == 3


def test_a_key_follows_values_but_not_the_names_of_classes_and_fields():
    part = NpzPart("a", "train", 3, "stamp", "/a.npz")
    names = ["name", "subset", "length", "stamp", "file"]
    other = make_dataclass("Archive", names, namespace={"key": Part.key})
    assert other(*astuple(part)).key == part.key
    changed = [replace(part, **{field.name: "b"}).key for field in fields(part)]
    assert len({part.key, *changed}) == 1 + len(fields(part))
    assert PhantomPart(*astuple(part), 28).key != part.key
