"""Two formats that other programs read: COCO's JSON, and torchvision's ImageFolder."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pyarrow as pa

from medlabel.errors import MedlabelError
from medlabel.storage.addresses import local_file, path_bytes
from medlabel.storage.digests import hex_digest
from medlabel.storage.strict_json import to_json

__all__ = ["link_images", "write_coco"]

_LONGEST = 255  # bytes of a file's name, on all usual file systems
_LONGEST_ENDING = 32


def write_coco(file: IO[bytes], tables: Iterator[pa.Table], _wanted: object) -> int:
    """Write COCO's images, annotations and categories; returns the number of images.

    There are no boxes and no image sizes, as the table has none. Annotations are kept in a
    temporary file until the images are written, so that memory does not grow with their number.
    """
    categories: dict[str, int] = {}
    count = 0
    with tempfile.TemporaryFile() as later:
        file.write(b'{"info": {"description": "labelled by medlabel"},\n"images": [')
        for rows in tables:
            for row in rows.to_pylist():
                comma = b",\n" if count else b"\n"
                count += 1
                category = categories.setdefault(row["label"], len(categories) + 1)
                file.write(comma + to_json(_image(count, row)).encode())
                later.write(comma + to_json(_annotation(count, category, row)).encode())
        file.write(b'\n],\n"annotations": [')
        later.seek(0)
        shutil.copyfileobj(later, file)
    named = [{"id": number, "name": name} for name, number in categories.items()]
    file.write(b'\n],\n"categories": ' + to_json(named).encode() + b"}\n")
    return count


def _image(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": number, "file_name": row["uri"], "digest": row["digest"]}


def _annotation(number: int, category: int, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": number,
        "category_id": category,
        "score": round(row["confidence"], 6),
        "decision": row["decision"],
    }


def link_images(folder: Path, tables: Iterator[pa.Table]) -> int:
    """Create `folder/CLASS/DIGEST-NAME`, a link to each image; returns the number of links.

    Raises:
        MedlabelError: the folder exists and is not empty, or an image is not a file on this
            machine.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MedlabelError(f"{folder} already exists: give the name of a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.parent / f".{uuid4().hex}.part"
    made.mkdir()
    try:
        count = sum(_link(made, row) for rows in tables for row in rows.to_pylist())
        if folder.exists():
            folder.rmdir()
        made.replace(folder)
    except BaseException:
        shutil.rmtree(made)
        raise
    return count


def _link(folder: Path, row: Mapping[str, Any]) -> int:
    """Link one image; returns 0 if an image with the same content and name was linked before."""
    path = local_file(row["uri"])
    if path is None or not path.is_file():
        raise MedlabelError(f"{row['uri']} is not a file on this machine: export CSV instead")
    within = folder / _folder_name(row["label"])
    within.mkdir(exist_ok=True)
    link = within / _link_name(row["digest"], path.name)
    if link.is_symlink():
        return 0
    link.symlink_to(path)
    return 1


def _folder_name(label: str) -> str:
    """The folder of a class, as Python opens it.

    Raises:
        MedlabelError: no folder can be called so.
    """
    name = os.fsdecode(path_bytes(label))
    if label in ("", ".", "..") or {"/", "\0"} & set(label) or not _fits(name):
        raise MedlabelError(f"{label!r} cannot be a folder's name: rename it with --names")
    return name


def _link_name(digest: str, name: str) -> str:
    """`DIGEST-NAME`; a name that would be too long loses its middle, and gets a hash of it."""
    stem, end = os.path.splitext(name)
    if len(end) > _LONGEST_ENDING:
        stem, end = name, ""
    mark = "" if _fits(f"{digest[:12]}-{name}") else f"~{hex_digest(os.fsencode(name), 8)}"
    while not _fits(found := f"{digest[:12]}-{stem}{mark}{end}"):
        stem = stem[:-1]
    return found


def _fits(name: str) -> bool:
    return len(os.fsencode(name)) <= _LONGEST
