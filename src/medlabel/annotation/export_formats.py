"""Two formats that other programs read: COCO's JSON, and torchvision's ImageFolder."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from medlabel.errors import MedlabelError

__all__ = ["link_images", "write_coco"]


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
                file.write(comma + json.dumps(_image(count, row)).encode())
                later.write(comma + json.dumps(_annotation(count, category, row)).encode())
        file.write(b'\n],\n"annotations": [')
        later.seek(0)
        shutil.copyfileobj(later, file)
    named = [{"id": number, "name": name} for name, number in categories.items()]
    file.write(b'\n],\n"categories": ' + json.dumps(named).encode() + b"}\n")
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
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        count = sum(_link(made, row) for rows in tables for row in rows.to_pylist())
        if folder.exists():
            folder.rmdir()
        made.chmod(0o755)
        made.replace(folder)
    except BaseException:
        shutil.rmtree(made)
        raise
    return count


def _link(folder: Path, row: Mapping[str, Any]) -> int:
    """Link one image; returns 0 if an image with the same content and name was linked before."""
    path = Path(row["uri"])
    if "#" in row["uri"] or not path.is_file():
        raise MedlabelError(f"{path} is not a file on this machine: export CSV instead")
    if row["label"] in (".", "..") or "/" in row["label"]:
        raise MedlabelError(f"{row['label']!r} cannot be a folder's name: rename it with --names")
    within = folder / row["label"]
    within.mkdir(exist_ok=True)
    link = within / f"{row['digest'][:12]}-{path.name}"
    if link.is_symlink():
        return 0
    link.symlink_to(path)
    return 1
