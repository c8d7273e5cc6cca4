"""The parts of a source of any kind, as a user types it."""

import re
from pathlib import Path
from typing import Any

import fsspec

from medlabel.data.listing.arrays import npz_parts, phantom_parts
from medlabel.data.listing.files import file_parts
from medlabel.data.listing.parquet import parquet_parts
from medlabel.data.listing.parts import Part
from medlabel.data.sources import find_npz, source_name
from medlabel.errors import MedlabelError
from medlabel.storage.digests import hex_digest


def list_parts(
    spec: str, size: int = 28, data_root: Path | None = None, image_column: str | None = None
) -> list[Part]:
    """The parts of a source, as a user types it (see the table of `medlabel.data.listing`).

    Args:
        spec: a MedMNIST flag, a path or a URI.
        size: side in pixels of the images of MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's npz files; missing ones are downloaded to it.
        image_column: column of Parquet files that holds the images; may be None if only one can.

    Raises:
        MedlabelError: the source does not exist, is empty or damaged, or is of an unknown kind.
    """
    if spec.startswith("phantom:"):
        return phantom_parts(spec, size)
    if "/" not in spec and not Path(spec).exists() and not spec.endswith((".npz", ".parquet")):
        return npz_parts(find_npz(spec, size, data_root), spec)
    if spec.endswith(".npz"):
        return npz_parts(find_npz(spec, size, data_root), source_name(spec))
    return _folder_parts(spec, image_column)


def _folder_parts(spec: str, column: str | None) -> list[Part]:
    """Parts of a folder, bucket, or single file."""
    try:
        fs, root = fsspec.core.url_to_fs(spec)
        root, found = _find(fs, root)
    except (ImportError, ValueError, OSError) as error:
        raise MedlabelError(f"cannot open {spec}: {error}") from error
    single = set(found) == {root}
    base = root.rsplit("/", 1)[0] if single else root
    names = sorted(path[len(base) :].lstrip("/") for path in found)
    names = [name for name in names if not any(p.startswith(".") for p in name.split("/"))]
    if not names:
        raise MedlabelError(f"{spec}: no such file or folder, or nothing in it")
    own = Path(root.rstrip("/")).name
    source = own.rsplit(".", 1)[0] if single else own
    where = base if "file" in fs.protocol else fs.unstrip_protocol(base)
    stamps = {name: _stamp(found[f"{base}/{name}"]) for name in names}
    tables = [name for name in names if name.endswith(".parquet")]
    files = [name for name in names if not name.endswith(".parquet")]
    parts = list(file_parts(source, where, files, stamps))
    for name in tables:
        parts += parquet_parts(source, f"{where}/{name}", name, stamps[name], column)
    if not parts:
        raise MedlabelError(f"{spec} holds no images")
    return parts


def _find(fs: Any, root: str) -> tuple[str, dict[str, Any]]:
    """A folder and its files by path; for a pattern, the folder before its first wildcard."""
    wild = re.search(r"[*?[]", root)
    if not wild or fs.exists(root):
        return root, fs.find(root, detail=True)
    fitting = fs.glob(root, detail=True).items()
    files = {path: info for path, info in fitting if info["type"] == "file"}
    return root[: root.rindex("/", 0, wild.start())], files


def _stamp(info: dict[str, Any]) -> str:
    """A digest of those facts of a file, as its store states them, that change with its content."""
    kept = ("size", "mtime", "ETag", "etag", "md5Hash", "crc32c", "LastModified", "created")
    return hex_digest(repr([(key, str(info[key])) for key in kept if key in info]), 16)
