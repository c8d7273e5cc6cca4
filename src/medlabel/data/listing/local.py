"""Local folders: which regular files they hold, through links, too, and what cannot be read.

Linked folders are followed. A file is listed once, however many links lead to it: under the path
where it lies if that is in the source, else under the first link, in the order of paths. A link to
a folder above, or to one that is listed anyway, adds nothing. Only regular files are opened: a
named pipe would block for ever, and to open a device may set it to work.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing.found import MANIFESTS, RESULTS, Found, is_manifest, join, why_unreadable
from medlabel.data.listing.parts import UNREADABLE
from medlabel.data.listing.patterns import Pattern
from medlabel.storage.addresses import path_bytes
from medlabel.storage.digests import hex_digest

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_LARGEST_MANIFEST = 2**26  # bytes
_BROKEN = {
    errno.ENOENT: "a broken link, which leads to nothing",
    errno.ENOTDIR: "a broken link, which leads to nothing",
    errno.ELOOP: "a link that leads back to itself",
}


def find_files(root: str, pattern: Pattern, left_out: Collection[str] = ()) -> Found:
    """The files in a folder and all its subfolders, without hidden ones (`.name`).

    Args:
        root: absolute path.
        pattern: which paths within the folder are wanted.
        left_out: real paths of folders that are not entered.
    """
    walk = _Walk(root, pattern, left_out)
    walk.run()
    return walk.found


class _Walk:
    """Lists what lies in the folder, then in linked folders, then files that links alone reach."""

    def __init__(self, root: str, pattern: Pattern, left_out: Collection[str]) -> None:
        self.found = Found()
        self._root, self._pattern, self._real = root, pattern, real_path(root)
        self._left_out = {real for real in left_out if not _is_in(self._real, real)}
        self._seen = set[str]()  # real paths of folders
        self._entered = dict[str, str]()  # path by real path, of folders that a link leads to
        self._links, self._file_links = list[str](), list[str]()
        self._targets = set[str]()  # real paths of files that links lead to

    def run(self) -> None:
        self._enter("", self._real)
        while self._links:
            links, self._links = sorted(self._links), []
            for name in links:
                self._follow(name)
        for name in sorted(self._file_links):
            real = real_path(self._path(name))
            if not self._is_listed(real):
                self.found.linked[name] = real
                self._add(name)

    def _enter(self, name: str, real: str) -> None:
        """List a folder, given its path and its real path, and its subfolders."""
        if real not in self._seen:
            self.found.origins[name], self._entered[real] = real, name
        folders = [(name, real)]
        while folders:
            name, real = folders.pop()
            if real not in self._seen | self._left_out:
                self._seen.add(real)
                folders += self._list(name, real)

    def _list(self, name: str, real: str) -> Iterator[tuple[str, str]]:
        """List the files of one folder; yields its subfolders."""
        entries = dict(self._scan(name))
        if name and self._is_results(name, entries.keys()):
            self.found.rejects[name] = RESULTS
            self._left_out.add(real)
            return
        for base, is_folder in entries.items():
            inner = join(name, base)
            if is_folder is None:
                self._links.append(inner)
            elif not is_folder and self._pattern.fits(inner):
                self._add(inner)
            elif is_folder and self._pattern.leads_to(inner):
                yield inner, join(real, base)

    def _scan(self, name: str) -> Iterator[tuple[str, bool | None]]:
        """The names in a folder that are not hidden, and whether each is a folder; None: a link."""
        try:
            with os.scandir(path_bytes(self._path(name))) as entries:
                for entry in entries:
                    base = entry.name.decode("utf-8", "surrogateescape")
                    if not base.startswith("."):
                        yield base, None if entry.is_symlink() else entry.is_dir()
        except OSError as error:
            self.found.rejects[name] = why_unreadable(error)

    def _add(self, name: str) -> None:
        """List a file, or say why it cannot be read."""
        try:
            self.found.files[name] = stamp_of(self._path(name))
        except FileNotFoundError:
            return  # it was removed while the folder was listed
        except ImageError as error:
            self.found.rejects[name] = error.reason

    def _follow(self, name: str) -> None:
        """List what a link leads to; files are left for later."""
        path = self._path(name)
        try:
            mode = os.stat(path_bytes(path)).st_mode
        except OSError as error:
            if self._pattern.fits(name):
                self.found.rejects[name] = why_broken(error)
            return
        real = real_path(path)
        if any(_is_in(real, folder) for folder in self._left_out):
            return
        if not stat.S_ISDIR(mode):
            if self._pattern.fits(name):
                self._file_links.append(name)
        elif self._pattern.leads_to(name) and not self._leads_up(name, real):
            self._enter(name, real)

    def _leads_up(self, name: str, real: str) -> bool:
        """Whether a link leads to a folder that it lies in."""
        while name:
            name = name.rpartition("/")[0]
            if _is_in(self.found.origins.get(name, ""), real):
                return True
        return False

    def _is_listed(self, real: str) -> bool:
        """Whether a file, given its real path, is listed under another path."""
        if real in self._targets:
            return True
        self._targets.add(real)
        folder = real
        while folder:
            folder = folder.rpartition("/")[0]
            if (entered := self._entered.get(folder or "/")) is not None:
                name = join(entered, real[len(folder) + 1 :])
                if name in self.found.files or name in self.found.rejects:
                    return True
        return False

    def _is_results(self, name: str, bases: Iterable[str]) -> bool:
        """Whether a folder holds results of medlabel, by the manifest that lies in it."""
        for base in MANIFESTS.keys() & bases:
            path = join(self._path(name), base)
            with suppress(ImageError, OSError), open_regular(path) as file:
                if is_manifest(base, file.read(_LARGEST_MANIFEST)):
                    return True
        return False

    def _path(self, name: str) -> str:
        return join(self._root, name) if name else self._root


def _is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies in it."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def real_path(path: str) -> str:
    """The path of a file or folder without links."""
    return os.path.realpath(path_bytes(path)).decode("utf-8", "surrogateescape")


def why_broken(error: OSError) -> str:
    """The reason in words why a link leads to nothing."""
    reason = _BROKEN.get(error.errno or 0)
    return f"{UNREADABLE}: {reason}" if reason else why_unreadable(error)


def stamp_of(path: str) -> str:
    """A digest of those facts of a regular file that change with its content.

    Raises:
        ImageError: it is no regular file, or cannot be read.
        FileNotFoundError: it does not exist.
    """
    try:
        facts = os.stat(path_bytes(path))
        _check_regular(facts)
        if not os.access(path_bytes(path), os.R_OK, effective_ids=True):
            open_regular(path).close()  # raises the reason, unless the answer was wrong
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ImageError(Fault.DAMAGED, why_unreadable(error)) from None
    return hex_digest(f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}", 16)


def open_regular(path: str) -> BinaryIO:
    """Open a regular file to read it, and nothing else.

    Raises:
        ImageError: it is no regular file.
        OSError: it cannot be opened.
    """
    name = path_bytes(path)
    _check_regular(os.stat(name))
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    file = os.fdopen(os.open(name, flags), "rb")
    try:
        _check_regular(os.fstat(file.fileno()))  # another may have taken its place
    except ImageError:
        file.close()
        raise
    return file


def _check_regular(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "something else")
        raise ImageError(Fault.UNSUPPORTED, f"{kind}, not a file")
