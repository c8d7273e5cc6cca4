"""Random folders of images, changed between runs of `annotate`: what must hold, whatever happens.

    python -m benchmarks.fuzz_folders --trees 500

A folder gets names that no table, shell or terminal likes, broken files, named pipes, links in
circles and folders without permissions. Images are labelled; files are added, removed, renamed,
replaced, touched or made unreadable; and they are labelled again, from other sources, in another
order, sometimes killed half-way, sometimes with `--prune`. After each run:

- images in = annotations + rejects, and each file that can be reached is one of them;
- no label is gone, unless its file is no image any more, or it was pruned and not listed;
- a label is that of the file's content, and an image of the same content keeps its row;
- the same run again reads nothing;
- there is no error but a `MedlabelError`, and that one changes nothing.

Everything is the job's own code but Ray and the student, which says how bright an image is. A
script that root starts goes on as another user, whom permissions stop.
"""

import argparse
import io
import os
import random
import shutil
import socket
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from benchmarks.local_annotation import annotate_here, rejects_of, rows_of
from medlabel.annotation.table import MANIFEST
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import path_text, place_in_file
from medlabel.storage.digests import digest_bytes
from medlabel.storage.store import Store

__all__ = ["fuzz"]

NOBODY = 65534
NAMES = [
    b"a.png", b"b.PNG", b"c.jpeg", b"10.png", b"9.png", "ä.png".encode(), "a\u0308.png".encode(),
    b"\xff\xfe.png", b"\x80", b"new\nline.png", b"tab\t.png", b"\x1b[31m.png", b" lead.png",
    b"trail.png ", b"x#3", b"y#train/3", b"#.png", b"a::b.png", b"[1].png", b"*.png", b"?.png",
    b"%41.png", b"-rf.png", b"=cmd.png", b"'q'.png", b'"q".png', b"\\x41.png", b"~.png", b"$HOME",
    "\u202e.png".encode(), "\u2028.png".encode(), "日本.png".encode(), b"run.json",
    b"annotate.json", b"a.parquet", b"B.PARQUET", b"a.npz", b"Thumbs.db", b".hidden.png",
    b"n" * 245 + b".png", b"nul",
]  # fmt: skip
FOLDERS = [b"ward", b"ward#1", b"a b", b"\xfe", "é".encode(), b"x.png", b"[z]", b".git", b"w\n1"]


def png(level: int) -> bytes:
    """The bytes of a picture of one level of grey."""
    buffer = io.BytesIO()
    Image.new("L", (6, 5), level).save(buffer, "PNG")
    return buffer.getvalue()


LEVELS = {digest_bytes(png(level)).hex(): level for level in range(0, 256, 15)}
CONTENTS = [png(level) for level in range(0, 256, 15)]
BROKEN = [b"", b"broken", CONTENTS[3][:40], b"PAR1", b"\x93NUMPY", b"PK\x03\x04"]


@dataclass
class Tree:
    """A random folder in `home`, beside a share that links lead to."""

    home: Path
    random: random.Random
    done: list[str] = field(default_factory=list)

    @property
    def root(self) -> bytes:
        """The folder that is annotated."""
        return os.fsencode(self.home / "scans")

    @property
    def share(self) -> bytes:
        """A folder outside."""
        return os.fsencode(self.home / "share")

    def grow(self) -> None:
        """Make folders and files."""
        os.mkdir(self.root)
        os.mkdir(self.share)
        for _ in range(self.random.randrange(1, 16)):
            with suppress(OSError):
                self.add()
        for _ in range(self.random.randrange(12)):
            self.change()

    def change(self) -> None:
        """Change something; what cannot be done is left."""
        changes: list[Callable[[], object]] = [
            self.add, self.add, self.add, self.remove, self.rename, self.replace, self.touch,
            self.link, self.link, self.forbid, self.allow, self.special, self.fold,
        ]  # fmt: skip
        change = self.random.choice(changes)
        self.done.append(change.__name__)
        with suppress(OSError):
            change()

    def add(self) -> None:
        """Write a new file."""
        self._write(self._new(NAMES))

    def remove(self) -> None:
        """Remove a file, link, or folder."""
        path = self._any()
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)

    def rename(self) -> None:
        """Move a file or folder."""
        os.rename(self._any(), self._new(NAMES))

    def replace(self) -> None:
        """Give a file other content."""
        self._write(self._any(), new=False)

    def touch(self) -> None:
        """Give a file another time."""
        os.utime(self._any(), (self.random.randrange(10**9),) * 2)

    def link(self) -> None:
        """Link to something, to nothing, or to a folder above."""
        targets = [
            self._any(),
            self.share,
            self.root,
            b"..",
            b"nothing",
            os.path.dirname(self.root),
        ]
        target = self.random.choice([*targets, self._any()])
        if self.random.random() < 0.1:
            os.link(target, self._new(NAMES))
        os.symlink(target, self._new([*NAMES, *FOLDERS]))

    def forbid(self) -> None:
        """Take the permission to read."""
        path = self._any() if self.random.random() < 0.9 else self.root
        if not os.path.islink(path):
            os.chmod(path, self.random.choice([0, 0o100, 0o200, 0o400]))

    def allow(self) -> None:
        """Give all permissions back."""
        allow_all(self.root)
        allow_all(self.share)

    def special(self) -> None:
        """A named pipe or a socket."""
        path = self._new(NAMES)
        if self.random.random() < 0.5:
            os.mkfifo(path)
        else:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path)

    def fold(self) -> None:
        """A new folder."""
        os.mkdir(self._new(FOLDERS))

    def sources(self) -> list[str]:
        """What is annotated: the folder, a part of it, a pattern, or several of these."""
        root = os.fsdecode(self.root)
        inner = [os.fsdecode(path) for path in self._all() if os.path.isdir(path)]
        some = [root, root, root, f"{root}/**/*.png", f"{root}/*", os.fsdecode(self.share), *inner]
        return self.random.sample(some, min(len(some), self.random.choice([1, 1, 1, 2, 3])))

    def _write(self, path: bytes, *, new: bool = True) -> None:
        content = self.random.choice(CONTENTS if self.random.random() < 0.7 else BROKEN)
        with open(path, "xb") if new else open(path, "r+b") as file:
            file.truncate()
            file.write(content)

    def _all(self) -> list[bytes]:
        return [path for top in (self.root, self.share) for path in walk(top)]

    def _any(self) -> bytes:
        return self.random.choice(self._all() or [self.root + b"/none"])

    def _new(self, names: Sequence[bytes]) -> bytes:
        folders = [p for p in self._all() if os.path.isdir(p) and not os.path.islink(p)]
        folder = self.random.choice([self.root, self.root, self.share, *folders])
        return folder + b"/" + self.random.choice(names)


def walk(top: bytes) -> Iterator[bytes]:
    """All paths in a folder, in order, without following links."""
    for folder, folders, files in os.walk(top):
        folders.sort()
        yield from (os.path.join(folder, name) for name in sorted([*folders, *files]))


def allow_all(top: bytes) -> None:
    """Give permissions to a folder and all in it."""
    os.chmod(top, 0o700)
    for name in sorted(os.listdir(top)):
        path = top + b"/" + name
        if os.path.islink(path):
            continue
        if os.path.isdir(path):
            allow_all(path)
        else:
            os.chmod(path, 0o600)


def reachable(sources: Sequence[str], left_out: str) -> set[str]:
    """The real paths of all regular files in folders among the sources that can be read now."""
    found, seen = set[str](), {os.fsencode(left_out)}
    folders = [os.fsencode(source) for source in sources if os.path.isdir(source)]
    while folders:
        folder = os.path.realpath(folders.pop())
        if folder in seen:
            continue
        seen.add(folder)
        with suppress(OSError):
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if name.startswith(b"."):
                    continue
                with suppress(OSError):
                    mode = os.stat(path).st_mode
                    real = os.path.realpath(path)
                    if stat.S_ISDIR(mode) and not folder.startswith(real):  # nor to one above
                        folders.append(path)
                    elif stat.S_ISREG(mode):
                        found.add(path_text(os.fsdecode(os.path.realpath(path))))
    return found


_Row = Mapping[str, object]


class Checked:
    """Runs `annotate` on a tree, and compares what it leaves with what has to hold."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.store = tree, Store(str(tree.home / "out"))
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        """Annotate, now and then killed half-way or with `--prune`, and check everything."""
        rng, sources = self.tree.random, self.tree.sources()
        prune = rng.random() < 0.15
        before = rows_of(self.store)
        if rng.random() < 0.2:
            self._annotate(sources, killed_after=rng.sample(range(6), 3))
            before = {**rows_of(self.store, repeated=True), **before}
        if not self._annotate(sources, prune=prune):
            return
        self._check(sources, before, prune)
        again = annotate_here(self.store, sources)
        assert again.read == 0, f"a second run read {again.read} images"
        self.counts["runs"] += 1

    def _annotate(
        self,
        sources: Sequence[str],
        *,
        prune: bool = False,
        killed_after: Sequence[int] | None = None,
    ) -> bool:
        before = rows_of(self.store, repeated=True)
        try:
            annotate_here(self.store, sources, prune=prune, killed_after=killed_after)
        except KeyboardInterrupt:
            self.counts["killed"] += 1
            return False
        except MedlabelError as error:
            message = str(error)
        else:
            return True
        self.counts["refused: " + message.rsplit(":")[-1].strip()[:60]] += 1
        assert "\n" not in message
        assert rows_of(self.store, repeated=True) == before, "an error changed the table"
        return False

    def _check(
        self, sources: Sequence[str], before: dict[str, dict[str, object]], prune: bool
    ) -> None:
        rows, rejects = rows_of(self.store), rejects_of(self.store)
        counts = self.store.read_json(MANIFEST)["counts"]
        assert counts["images"] == counts["annotations"] + counts["rejects"]
        assert (counts["annotations"], counts["rejects"]) == (len(rows), len(rejects))
        assert not rows.keys() & rejects.keys()
        for uri in before.keys() - rows.keys():
            assert prune or self._is_no_image(uri, rejects), f"the label of {uri!r} is gone"
            self.counts["labels gone rightly"] += 1
        for uri, row in rows.items():
            level = LEVELS[str(row["digest"])]
            assert row["label"] == ("bright" if level > 127 else "dark"), uri
            if uri in before and before[uri]["digest"] == row["digest"]:
                assert row == before[uri], f"the row of {uri!r} has changed"
        self._check_all_came_in(sources, {*rows, *rejects})
        self.counts["labels"] += len(rows)
        self.counts["rejects"] += len(rejects)

    def _is_no_image(self, uri: str, rejects: dict[str, str]) -> bool:
        """Whether a file can be read and holds no image now."""
        path, place = place_in_file(uri)
        if place is not None or uri not in rejects:
            return False
        with open(path.encode(errors="surrogateescape"), "rb") as file:
            return digest_bytes(file.read()).hex() not in LEVELS

    def _check_all_came_in(self, sources: Sequence[str], known: set[str]) -> None:
        """Each file that can be reached is a row or a reject, or lies in a folder that is one."""
        real = {path_text(os.path.realpath(_os_path(uri))) for uri in known}
        for path in reachable(sources, self.store.uri):
            above = {path} | {path[:place] for place, c in enumerate(path) if c == "/" and place}
            assert above & real, f"{path!r} is neither labelled nor rejected"


def _os_path(uri: str) -> str:
    return os.fsdecode(place_in_file(uri)[0].encode(errors="surrogateescape"))


def fuzz(seed: int, home: Path) -> Counter[str]:
    """Build one random folder and annotate it several times; an assertion fails or nothing."""
    tree = Tree(home, random.Random(seed))
    tree.grow()
    checked = Checked(tree)
    try:
        for _ in range(tree.random.randrange(2, 6)):
            checked.run()
            for _ in range(tree.random.randrange(5)):
                tree.change()
    except BaseException as error:
        error.add_note(f"seed {seed}, after {tree.done}")
        raise
    finally:
        tree.allow()
    return checked.counts


def main() -> None:
    """Try many folders and print what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    counts, failed = Counter[str](), 0
    for seed in range(options.first, options.first + options.trees):
        with tempfile.TemporaryDirectory() as home:
            try:
                counts += fuzz(seed, Path(home))
            except Exception as error:
                failed += 1
                print(
                    f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ()), sep="\n  "
                )
    print(f"{options.trees} trees, {failed} failed")
    for name, count in counts.most_common():
        print(f"{count:8,} {name}")


if __name__ == "__main__":
    main()
