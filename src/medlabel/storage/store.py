"""Files and tables behind a URI: a local folder or any bucket that fsspec can open.

Files are written atomically: to a temporary name beside the target, then moved. A partial output
is therefore never read as a complete one. A killed process may leave a `.part` file behind, which
is never read.

The files of large tables are named `STEM-CHECKSUM.SUFFIX` with the first 16 hexadecimal digits of
the SHA-256 of their bytes. Damage after writing is therefore detected on reading, without a second
file that could get out of step.
"""

import glob
import json
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Any
from uuid import uuid4

import fsspec
import pandas as pd
from filelock import FileLock

from medlabel.errors import MedlabelError
from medlabel.storage.digests import hex_digest
from medlabel.storage.strict_json import to_json

__all__ = ["Store", "checked_stem", "refuse_different"]

_ATTEMPTS = 5  # to write into a folder that others remove
_CHECKSUM = 16  # hexadecimal digits in the names of checked files, at least


class Store:
    """A folder at `uri`; it is created when the first file is written.

    | call | effect |
    | --- | --- |
    | `Store("runs/demo")`, `Store("s3://bucket/run")` | opens a folder |
    | `store / "cells"` | a folder inside it |
    | `store.write("a.json", data)` | writes bytes atomically |
    | `store.write_table("a.parquet", frame)` | writes a data frame as Parquet |

    | `store.write_checked("a", ".bin", data)` | writes `a-CHECKSUM.bin`, and returns this name |

    Args:
        uri: of the folder.
        advice: what to do when something cannot be written; it ends the message of the error.

    Raises:
        MedlabelError: fsspec has no file system for the URI's scheme.
    """

    def __init__(self, uri: str, advice: str = "") -> None:
        self._advice = advice
        try:
            if "://" in uri:
                self._fs, self._root = fsspec.core.url_to_fs(uri)
            else:  # a path is no URL: fsspec would take a::b for a chain of file systems
                self._fs = fsspec.filesystem("file")
                self._root = self._fs._strip_protocol(uri)
        except (ImportError, ValueError) as error:
            raise MedlabelError(f"cannot open {uri}: {error}") from error
        # Local paths are made absolute, because workers run in other working directories.
        local = "file" in self._fs.protocol
        self.uri = self._root if local else uri.rstrip("/")

    def __truediv__(self, name: str) -> "Store":
        return Store(posixpath.join(self.uri, name), self._advice)

    def path(self, name: str = "") -> str:
        """Return the full path or URI of a file in this folder, or of the folder itself."""
        return posixpath.join(self.uri, name) if name else self.uri

    def _full(self, name: str) -> str:
        return posixpath.join(self._root, name)

    def exists(self, name: str) -> bool:
        """Whether a file exists; files that exist are complete."""
        return bool(self._fs.exists(self._full(name)))

    def list(self, pattern: str) -> list[str]:
        """Return the sorted names of files that match a glob pattern, relative to this folder.

        Raises:
            MedlabelError: a folder cannot be listed; one that does not exist holds no files.
        """
        if "file" in self._fs.protocol:
            return sorted(self._match("", pattern.split("/")))
        self._fs.invalidate_cache()  # fsspec caches listings of buckets; others write, too
        found = self._fs.glob(posixpath.join(glob.escape(self._root), pattern))
        return sorted(posixpath.relpath(str(path), self._root) for path in found)

    def _match(self, folder: str, pattern: Sequence[str]) -> Iterator[str]:
        """Names that match; fsspec would drop what is in a folder that cannot be listed."""
        with self._clear_errors(folder, "list"), suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(self._full(folder)):
                if fnmatchcase(name, pattern[0]):
                    path = posixpath.join(folder, name)
                    yield from self._match(path, pattern[1:]) if pattern[1:] else [path]

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically; raise a `MedlabelError` with the reason if that fails."""
        full = self._full(name)
        partial = f"{full}.{uuid4().hex[:8]}.part"
        with self._clear_errors(name):
            try:
                self._put(partial, data)
                self._fs.mv(partial, full)
            except BaseException:
                if self._fs.exists(partial):
                    self._fs.rm(partial)
                raise

    def write_utf8(self, name: str, text: str) -> None:
        r"""Write text as UTF-8; bytes of a path that are no UTF-8 are written as `\udcff`."""
        self.write(name, text.encode(errors="backslashreplace"))

    def _put(self, full: str, data: bytes) -> None:
        """Write a file, and its folder again if another process removes that while it is empty."""
        for left in reversed(range(_ATTEMPTS)):
            self._fs.makedirs(posixpath.dirname(full), exist_ok=True)
            try:
                self._fs.pipe_file(full, data)
                return
            except FileNotFoundError:
                if not left:
                    raise

    def read(self, name: str) -> bytes:
        """Return the bytes of a file; raise a `MedlabelError` if it cannot be read."""
        with self._clear_errors(name, "read"):
            return bytes(self._fs.cat_file(self._full(name)))

    def write_checked(self, stem: str, suffix: str, data: bytes) -> str:
        """Write a file named `STEM-CHECKSUM.SUFFIX` and return the name."""
        name = f"{stem}-{hex_digest(data, _CHECKSUM)}{suffix}"
        self.write(name, data)
        return name

    def read_checked(self, name: str) -> bytes | None:
        """Return the bytes of a file by `write_checked`, or None if it was damaged since."""
        data = self.read(name)
        stated = posixpath.splitext(name)[0].rpartition("-")[2]
        whole = len(stated) >= _CHECKSUM and hex_digest(data, len(stated)) == stated
        return data if whole else None

    def check_writable(self) -> None:
        """Write and remove an empty file, so that a job fails before its work and not after it.

        Folders that this call made are removed, too, as long as nobody has put a file into them.
        """
        name, new = f".probe-{uuid4().hex[:8]}", _missing_folders(self._fs, self._root)
        self.write(name, b"")
        self.remove(name)
        for folder in new:
            with suppress(OSError):  # another command writes there now
                self._fs.rmdir(folder)

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with self._clear_errors(name, "remove"), suppress(FileNotFoundError):
            self._fs.rm_file(self._full(name))

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep other processes that ask for this lock waiting; nobody waits where it is a bucket.

        The lock is a hidden file in the folder. It ends with the process, however that ends.
        """
        if "file" not in self._fs.protocol:
            yield
            return
        self._fs.makedirs(self._root, exist_ok=True)
        try:
            lock = FileLock(self._full(f".{name}.lock"))
            lock.acquire()
        except (OSError, NotImplementedError):  # a file system without locks
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def write_json(self, name: str, value: Any) -> None:
        """Write strict JSON with sorted keys, so that equal values give identical files.

        A number that is not finite becomes `null`.
        """
        self.write_utf8(name, to_json(value, indent=2, sort_keys=True) + "\n")

    def read_json(self, name: str) -> Any:
        """Read JSON; raise a `MedlabelError` if the file is missing or is not JSON."""
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise MedlabelError(f"{self.path(name)} is not JSON: {error}") from error

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Write a data frame as Parquet, without its index."""
        buffer = BytesIO()
        frame.to_parquet(buffer, index=False)
        self.write(name, buffer.getvalue())

    def read_table(self, name: str) -> pd.DataFrame:
        """Read Parquet into a data frame; raise a `MedlabelError` if it is missing or damaged."""
        try:
            return pd.read_parquet(BytesIO(self.read(name)))
        except (ValueError, OSError) as error:
            raise MedlabelError(
                f"{self.path(name)} is not an intact Parquet file: {error}"
            ) from error

    @contextmanager
    def _clear_errors(self, name: str, verb: str = "write") -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise MedlabelError(f"cannot {verb} {self.path(name)}: no such file") from error
        except OSError as error:
            reason = error.strerror or str(error)
            advice = f"; {self._advice}" if self._advice and verb == "write" else ""
            raise MedlabelError(f"cannot {verb} {self.path(name)}: {reason}{advice}") from error


def _missing_folders(fs: Any, folder: str) -> list[str]:
    """The folders that a file in this one will make, the innermost first; none in buckets."""
    missing = []
    while "file" in fs.protocol and folder and not fs.exists(folder):
        missing.append(folder)
        folder = posixpath.dirname(folder)
    return missing


def checked_stem(name: str) -> str:
    """The stem that `Store.write_checked` was given for a file of this name."""
    return posixpath.splitext(name)[0].rpartition("-")[0]


def refuse_different(
    store: Store,
    recorded: Mapping[str, Any],
    requested: Mapping[str, Any],
    what: str,
    ignored: Set[str] = frozenset(),
) -> None:
    """Raise if the job that is recorded in a folder differs from the requested one.

    Args:
        store: the folder.
        recorded: what decided the results in the folder.
        requested: what decides the results of this job.
        what: what the folder holds if they differ, such as "another run".
        ignored: keys whose values may differ.

    Raises:
        MedlabelError: they differ; the message names the keys.
    """
    names = {*recorded, *requested} - ignored
    differing = sorted(name for name in names if recorded.get(name) != requested.get(name))
    if "code_versions" in differing:
        then, now = recorded.get("code_versions"), requested.get("code_versions")
        raise MedlabelError(
            f"{store.uri} was begun with another version of medlabel (different code_versions: "
            f"{_numbers_that_differ(then or {}, now or {})}), whose results cannot be compared "
            "with new ones: choose another --out, and train students again with their commands"
        )
    if differing:
        raise MedlabelError(
            f"{store.uri} holds {what} (different {', '.join(differing)}): choose another --out"
        )


def _numbers_that_differ(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Version numbers of the code that were raised, such as "preprocessing 1, now 2"."""
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return ", ".join(f"{n} {then.get(n, 'unknown')}, now {now.get(n, 'none')}" for n in names)
