"""Buckets and other file systems behind a URI: which files they hold, and what cannot be listed."""

from collections.abc import Collection, Iterator
from typing import Any

from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractFileSystem

from medlabel.data.listing.found import (
    MANIFESTS,
    RESULTS,
    Found,
    is_manifest,
    join,
    why_unreadable,
)
from medlabel.storage.digests import hex_digest


def find_remote(
    fs: AbstractFileSystem, root: str, pattern: str = "", left_out: Collection[str] = ()
) -> Found:
    """The files below `root`, without hidden ones (`.name`); see `local.find_files`.

    Args:
        fs: the file system.
        root: path in it of a folder, or of one file, whose path in itself is "".
        pattern: path with wildcards, to list only files that fit it.
        left_out: paths of folders that are not listed.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    fs.invalidate_cache()  # others may have written since
    found = Found()
    if pattern:
        listed = fs.glob(pattern, detail=True)
    elif _lists_flat(fs):
        listed = fs.find(root, detail=True)
    else:
        listed = dict(_walk(fs, root, found))
    for path, info in listed.items():
        name = path[len(root) :].strip("/")
        kept = not any(part.startswith(".") for part in name.split("/"))
        kept = kept and not any(f"{path}/".startswith(f"{folder}/") for folder in left_out)
        if kept and info.get("type", "file") != "directory":
            found.files[name] = _stamp(info)
    _leave_out_results(fs, root, found)
    return found


def _lists_flat(fs: AbstractFileSystem) -> bool:
    """Whether a file system lists all files below a path at once, and raises where it cannot."""
    if isinstance(fs, AsyncFileSystem):
        return type(fs)._find is not AsyncFileSystem._find
    return type(fs).find is not AbstractFileSystem.find


def _walk(fs: AbstractFileSystem, root: str, found: Found) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files folder by folder; a folder that cannot be listed is a reject (fsspec would drop it)."""
    folders, seen = [root], set[str]()
    while folders:
        folder = folders.pop()
        seen.add(folder)
        try:
            entries = fs.ls(folder, detail=True)
        except OSError as error:
            if folder == root:
                raise
            found.rejects[folder[len(root) :].strip("/")] = why_unreadable(error)
            continue
        for info in entries:
            path = info["name"].rstrip("/")
            if info["type"] != "directory":
                yield path, info
            elif path not in seen and not path.rpartition("/")[2].startswith("."):
                folders.append(path)


def _leave_out_results(fs: AbstractFileSystem, root: str, found: Found) -> None:
    """Make one reject of each folder of medlabel's results."""
    for name in [name for name in found.files if name.rpartition("/")[2] in MANIFESTS]:
        folder, _, base = name.rpartition("/")
        if folder and is_manifest(base, fs.cat_file(join(root, name))):
            for inner in [inner for inner in found.files if inner.startswith(f"{folder}/")]:
                del found.files[inner]
            found.rejects[folder] = RESULTS


def _stamp(info: dict[str, Any]) -> str:
    """A digest of those facts of a file, as its store states them, that change with its content."""
    kept = ("size", "mtime", "ETag", "etag", "md5Hash", "crc32c", "LastModified", "created")
    return hex_digest(repr([(key, str(info[key])) for key in kept if key in info]), 16)
