"""The parts of one source or of several, as a user types them."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from glob import glob
from pathlib import Path

from medlabel.data.listing.arrays import npz_parts, phantom_parts
from medlabel.data.listing.file_sources import FileSource, find_source, gather_single_files
from medlabel.data.listing.parts import Part
from medlabel.data.listing.patterns import is_pattern
from medlabel.data.listing.rejects import RejectsPart
from medlabel.data.sources import MEDMNIST_FLAGS, find_npz, is_npz, source_name, unknown_set
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import escaped, path_text


def list_parts(
    spec: str,
    size: int = 28,
    data_root: Path | None = None,
    image_column: str | None = None,
    left_out: Sequence[str] = (),
) -> list[Part]:
    """The parts of a source, as a user types it (see the table of `medlabel.data.listing`).

    Args:
        spec: a MedMNIST flag, a path, a pattern or a URI.
        size: side in pixels of the images of MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's npz files; missing ones are downloaded to it.
        image_column: column of Parquet files that holds the images; may be None if only one can.
        left_out: folders or buckets within the source that are not listed, such as the one that
            results are written to.

    Raises:
        MedlabelError: the source does not exist, is empty or damaged, cannot be read or is of an
            unknown kind.
    """
    return list_all_parts([spec], size, data_root, image_column, left_out)


def list_all_parts(
    specs: Sequence[str],
    size: int = 28,
    data_root: Path | None = None,
    image_column: str | None = None,
    left_out: Sequence[str] = (),
    on_source: Callable[[int], None] = lambda done: None,
) -> list[Part]:
    """The parts of several sources, in which no image is listed twice and no two have one id.

    A source is called after its last component (`images`), or after more of them where two would
    have the same name (`ward1/images`, `ward2/images`). Files of one folder that are named one by
    one, as a shell does it for `scans/*.png`, are one source, called after the folder.

    Args:
        specs: as for `list_parts`, which describes the other arguments, too.
        size: see there.
        data_root: see there.
        image_column: see there.
        left_out: see there.
        on_source: called with the number of sources that are listed.

    Raises:
        MedlabelError: see there; or none of the sources holds an image.
    """
    arrays = dict[str, list[Part]]()  # by what was typed, or the path of the file
    files = list[FileSource]()
    for done, spec in enumerate(specs, start=1):
        for name in _npz_files(spec) or [spec]:
            found = _array_parts(name, size, data_root)
            if found is None:
                files.append(find_source(name, left_out))
            else:
                arrays.setdefault(_place(name), found)
        on_source(done)
    if len(specs) > 1:
        files = _listed_once(gather_single_files(files))
    owners = [(parts[0].source, place) for place, parts in arrays.items()]
    names = unique_names([*owners, *((one.name, one.place) for one in files)])
    parts = [
        replace(part, source=name)
        for name, found in zip(names, arrays.values(), strict=False)
        for part in found
    ]
    for name, one in zip(names[len(arrays) :], files, strict=True):
        parts += one.parts(name, image_column)
    _check_images(parts, specs)
    return parts


def absolute_source(spec: str) -> str:
    """A source in a form that means the same in every working directory."""
    if "://" in spec or spec.startswith("phantom:"):
        return spec
    if spec in MEDMNIST_FLAGS and not os.path.lexists(spec):
        return spec
    return os.path.abspath(os.path.expanduser(spec) if not os.path.lexists(spec) else spec)


def unique_names(sources: Sequence[tuple[str, str]]) -> list[str]:
    """A name for each source; those of different places differ.

    >>> unique_names([("images", "/data/ward1/images"), ("images", "/data/ward2/images")])
    ['ward1/images', 'ward2/images']

    Args:
        sources: the name that each would have alone, and its path or URI.
    """
    places = dict.fromkeys(sources)
    names = {source: source[0] for source in places}
    for depth in range(2, 2 + max((place.count("/") for _, place in places), default=0)):
        often = Counter(names.values())
        for (own, place), name in names.items():
            if often[name] > 1:
                names[own, place] = "/".join([x for x in place.split("/") if x][-depth:]) or own
    often, seen = Counter(names.values()), Counter[str]()
    for source, name in names.items():
        if often[name] > 1:
            seen[name] += 1
            names[source] = f"{name} {seen[name]}"
    return [names[source] for source in sources]


def _place(spec: str) -> str:
    return spec if spec.startswith("phantom:") else path_text(os.path.abspath(spec))


def _npz_files(spec: str) -> list[str]:
    """The npz files that fit a pattern of such, as `*.npz`; none for another source."""
    if not is_npz(spec) or not is_pattern(spec) or "://" in spec or os.path.lexists(spec):
        return []
    found = sorted(glob(os.path.expanduser(spec), recursive=True))
    if not found:
        raise MedlabelError(f"{escaped(path_text(spec))}: no file fits this pattern")
    return found


def _array_parts(spec: str, size: int, data_root: Path | None) -> list[Part] | None:
    """The splits of phantoms, of an npz file or of a MedMNIST set; None for other sources."""
    if spec.startswith("phantom:"):
        return phantom_parts(spec, size)
    here = os.path.lexists(spec)
    if is_npz(spec) and not os.path.isdir(spec):
        return npz_parts(find_npz(spec, size, data_root), source_name(spec))
    if spec in MEDMNIST_FLAGS and not here:
        return npz_parts(find_npz(spec, size, data_root), spec)
    if "/" not in spec and not here and not is_pattern(spec) and not spec.startswith("~"):
        raise MedlabelError(
            f"{escaped(path_text(spec))}: no such file or folder, and {unknown_set(spec)}"
        )
    return None


def _listed_once(sources: Sequence[FileSource]) -> list[FileSource]:
    """The sources with each image and reject in the first that holds it; none without any.

    Parquet files that the user named are the first, for damage to them is an error.
    """
    seen = set[str]()
    for source in sorted(sources, key=lambda source: not source.is_table):
        source.drop(seen)
    return [source for source in sources if source.files or source.rejects]


def _check_images(parts: Sequence[Part], specs: Sequence[str]) -> None:
    """Raise a `MedlabelError` if there is no image at all, or nothing that could be read."""
    if any(not part.is_rejected for part in parts):
        return
    rejects = list(_reasons(parts))
    if not rejects:
        raise MedlabelError(f"{specs[0] if len(specs) == 1 else 'the sources'} holds no images")
    address, reason = rejects[0]
    more = f" (and {len(rejects) - 1:,} more that hold no image)" if len(rejects) > 1 else ""
    raise MedlabelError(f"{address}: {reason}{more}")


def _reasons(parts: Sequence[Part]) -> Iterator[tuple[str, str]]:
    for part in parts:
        if isinstance(part, RejectsPart):
            yield from ((part.address(row), part.reasons[row]) for row in range(part.count))
