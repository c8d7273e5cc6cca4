"""Read annotated images again, by their addresses, without listing the sources.

An address is that of a file, or of one image in a file that holds several: then this file alone is
listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing import Content, FilesPart, Part, list_parts
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import place_in_file

__all__ = ["contents_of"]

_Places = dict[str, tuple[Part, int]]


def contents_of(uris: Sequence[str], asked: Sequence[Mapping[str, Any]]) -> Iterator[Content]:
    """The contents of images, in the order of their addresses.

    Args:
        uris: the addresses, as in the table.
        asked: what the folder of annotations was asked for (`annotate.json`): the sizes of MedMNIST
            sets and phantoms, and the names of columns of Parquet files.
    """
    for path, group in groupby(uris, key=lambda uri: place_in_file(uri)[0]):
        some = list(group)
        if place_in_file(some[0])[1] is None:
            for _ in some:
                yield next(_file(path).read())
        else:
            yield from _in_one_file(path, some, asked)


def _file(path: str) -> FilesPart:
    """A file that is one image, as a part of its folder."""
    folder, _, name = path.rpartition("/")
    return FilesPart(name, "all", 1, "", folder, (name,), ("",))


def _in_one_file(
    path: str, uris: Sequence[str], asked: Sequence[Mapping[str, Any]]
) -> Iterator[Content]:
    """The contents of images that one file holds."""
    places = _images_in(path, asked)
    known = sorted((uri for uri in set(uris) if uri in places), key=lambda uri: places[uri][1])
    contents: dict[str, Content] = {}
    for part in {id(places[uri][0]): places[uri][0] for uri in known}.values():
        mine = [uri for uri in known if places[uri][0] is part]
        rows = np.array([places[uri][1] for uri in mine])
        contents |= zip(mine, part.read(rows), strict=True)
    gone = ImageError(Fault.DAMAGED, f"{path} does not hold it any more")
    for uri in uris:
        yield contents.get(uri, gone)


def _images_in(path: str, asked: Sequence[Mapping[str, Any]]) -> _Places:
    """The images of a file that holds several, by their addresses."""
    found: _Places = {}
    for one in reversed(asked):
        root = Path(one["data_root"]) if one["data_root"] else None
        try:
            parts = list_parts(path, one["size"], root, one["column"])
        except MedlabelError:
            continue  # another call knew how to read it
        new = {part.address(row): (part, row) for part in parts for row in range(part.count)}
        found = new | found
    return found
