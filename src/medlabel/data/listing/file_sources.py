"""Sources of files: folders, buckets, patterns and single files, before they are cut into parts."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import fsspec

from medlabel.data.decoding import ImageError
from medlabel.data.listing.files import file_parts
from medlabel.data.listing.found import Found, join
from medlabel.data.listing.local import find_files, real_path, stamp_of, why_broken
from medlabel.data.listing.parquet import is_parquet, parquet_parts
from medlabel.data.listing.parts import Part
from medlabel.data.listing.patterns import Pattern, is_pattern
from medlabel.data.listing.rejects import rejects_part
from medlabel.data.listing.remote import find_remote
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import escaped, path_bytes, path_text
from medlabel.storage.home import home_if_any


@dataclass(frozen=True)
class FileSource:
    """The files of a source.

    Attributes:
        name: that it has alone, the first component of ids.
        place: its path or URI.
        root: path or URI of the folder of its files.
        found: what the folder holds.
        single: whether it is one file that the user named.
    """

    name: str
    place: str
    root: str
    found: Found = field(default_factory=Found)
    single: bool = False

    @property
    def files(self) -> dict[str, str]:
        """What changes with the content of each file, by its path in the folder."""
        return self.found.files

    @property
    def rejects(self) -> dict[str, str]:
        """Why something else cannot be read, by its path in the folder."""
        return self.found.rejects

    def drop(self, seen: set[str]) -> None:
        """Drop what `seen` holds the real path of, and add the rest to it; links are last."""
        base = real_path(self.root or "/") if self._is_local else self.root
        for names in (self.files, self.rejects):
            real = {name: self._identity(name) for name in names}
            for name in sorted(names, key=lambda name: (real[name] != join(base, name), name)):
                if real[name] in seen:
                    del names[name]
                seen.add(real[name])

    @property
    def _is_local(self) -> bool:
        return self.root.startswith("/") or not self.root

    @property
    def is_table(self) -> bool:
        """Whether it is a Parquet file that the user named."""
        return self.single and any(map(is_parquet, self.files))

    def _identity(self, name: str) -> str:
        """The real path of a file or of what cannot be read, or its URI."""
        return self.found.real(name) if self._is_local else f"{self.root}/{name}"

    def parts(self, name: str, column: str | None) -> Iterator[Part]:
        """Its parts, given the name of the source: files, row groups of Parquet files, rejects.

        Raises:
            MedlabelError: the source is a Parquet file that cannot be read.
        """
        files = sorted(file for file in self.files if not is_parquet(file))
        yield from file_parts(name, self.root, files, self.files)
        rejects = dict(self.rejects)
        for table in sorted(self.files.keys() - files):
            try:
                yield from parquet_parts(name, self.root, table, self.files[table], column)
            except ImageError as error:
                if self.single:
                    raise MedlabelError(f"{escaped(self.place)}: {error.reason}") from error
                rejects[table] = error.reason
        if rejects:
            yield rejects_part(name, self.root, rejects)


def find_source(spec: str, left_out: Sequence[str] = ()) -> FileSource:
    """Find the files of a folder, bucket, pattern or single file.

    Args:
        spec: as a user types it.
        left_out: folders and buckets that are not listed, even if they are within the source.

    Raises:
        MedlabelError: there is no such file or folder, it is empty or cannot be listed, or it is
            itself to be left out.
    """
    shown = escaped(path_text(spec))
    try:
        local = _local_path(spec)
        found = _find_remote(spec, left_out) if local is None else _find_local(local, left_out)
    except (ImportError, ValueError, OSError) as error:
        raise MedlabelError(f"cannot open {shown}: {_reason(error)}") from error
    if not found.files and not found.rejects:
        wild = is_pattern(spec) and not os.path.lexists(spec)
        what = "no file fits this pattern" if wild else "no such file or folder, or nothing in it"
        raise MedlabelError(f"{shown}: {what}")
    return found


def gather_single_files(sources: Sequence[FileSource]) -> list[FileSource]:
    """Make one source of the files of a folder that were named one by one, as a shell does it."""
    together = Counter(one.root for one in sources if _is_image_file(one))
    gathered = dict[str, FileSource]()
    kept = list[FileSource]()
    for one in sources:
        if not _is_image_file(one) or together[one.root] == 1:
            kept.append(one)
            continue
        if one.root not in gathered:
            gathered[one.root] = FileSource(escaped(_last(one.root)), one.root, one.root)
            kept.append(gathered[one.root])
        into = gathered[one.root].found
        into.files.update(one.files)
        into.rejects.update(one.rejects)
        into.linked.update(one.found.linked)
    return kept


def _is_image_file(source: FileSource) -> bool:
    return source.single and not source.is_table


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _local_path(spec: str) -> str | None:
    """The absolute path of a local source, without `.` and `..`; None for a URI."""
    found = re.match(r"(?:file|local)://", spec)
    path = spec[found.end() :] if found else spec
    if "://" in path and not os.path.lexists(path):
        return None
    if path.startswith("~") and not os.path.lexists(path):
        path = os.path.expanduser(path)
    path = os.path.join(os.getcwd(), path)
    head, up, tail = path.rpartition("/../")
    if up or path.endswith("/.."):  # what lies above a link is not what stands before it
        path = os.path.join(os.path.realpath(f"{head}/.." if up else path), tail if up else "")
    return path_text(os.path.normpath(path))


def _find_local(path: str, left_out: Sequence[str]) -> FileSource:
    try:
        is_folder = stat.S_ISDIR(os.stat(path_bytes(path)).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    if is_folder:
        return _folder(path, Pattern(), left_out)
    if os.path.lexists(path_bytes(path)):
        return _single_file(path)
    base, pattern = _split_pattern(path)
    if pattern is None or not os.path.isdir(path_bytes(base)):
        raise MedlabelError(f"{escaped(path)}: no such file or folder")
    return _folder(base, pattern, left_out)


def _split_pattern(path: str) -> tuple[str, Pattern | None]:
    """The folder before the first wildcard, and the pattern in it; a real folder is no pattern."""
    components = path.split("/")
    for number in range(1, len(components)):
        base = "/".join(components[:number]) or "/"
        if is_pattern(components[number]) and not os.path.lexists(
            path_bytes(f"{base.rstrip('/')}/{components[number]}")
        ):
            return base, Pattern(tuple(components[number:]))
    return path, None


def _folder(path: str, pattern: Pattern, left_out: Sequence[str]) -> FileSource:
    """The files of a local folder."""
    out = {real_path(local) for one in left_out if (local := _local_path(one)) is not None}
    home, real = home_if_any(), real_path(path)
    homes = set() if home is None else {real_path(path_text(home))}
    if real in out | homes and len(pattern.components) != 1:  # one component: no folder within it
        own = "the folder of results" if real in out else "the folder that MEDLABEL_HOME names"
        raise MedlabelError(
            f"{escaped(path)} is both a source and {own}: choose another for one of the two"
        )
    found = find_files(path, pattern, out | homes)
    if "" in found.rejects:
        raise MedlabelError(f"{escaped(path)} {found.rejects['']}")
    return FileSource(escaped(_last(path)), path, path.rstrip("/"), found)


def _single_file(path: str) -> FileSource:
    """A file that was named itself; if it cannot be read, that is its reject."""
    root, _, name = path.rpartition("/")
    found = Found(linked={name: real_path(path)})
    try:
        found.files[name] = stamp_of(path)
    except ImageError as error:
        found.rejects[name] = error.reason
    except FileNotFoundError as error:
        found.rejects[name] = why_broken(error)
    return FileSource(escaped(_stem(name)), path, root, found, single=True)


def _find_remote(spec: str, left_out: Sequence[str]) -> FileSource:
    """The files of a bucket, of a pattern in it, or one file."""
    fs, root = fsspec.core.url_to_fs(spec)
    pattern = ""
    wild = re.search(r"[*?[]", root)
    if wild and not fs.exists(root):
        pattern, root = root, root[: root.rindex("/", 0, wild.start())]
    out = [fsspec.core.url_to_fs(one)[1] for one in left_out if _is_in_store(fs, one)]
    if root in out:
        raise MedlabelError(f"{spec} is both a source and the folder of results: change --out")
    found = find_remote(fs, root, pattern, out)
    single = set(found.files) == {""}
    if single:
        base, _, name = root.rpartition("/")
        found.files[name] = found.files.pop("")
        return FileSource(_stem(name), spec, fs.unstrip_protocol(base), found, single=True)
    return FileSource(escaped(_last(root)), spec, fs.unstrip_protocol(root), found)


def _is_in_store(fs: fsspec.AbstractFileSystem, uri: str) -> bool:
    """Whether a URI leads into this file system."""
    return _local_path(uri) is None and fsspec.core.url_to_fs(uri)[0] is fs


def _last(path: str) -> str:
    """The last component of a path."""
    return path.rstrip("/").rpartition("/")[2]


def _stem(name: str) -> str:
    """A file's name without its ending."""
    return name.rpartition(".")[0] or name
