"""A small folder of annotations, made without Ray."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from medlabel.annotation.explain import layout_of
from medlabel.annotation.table import (
    MANIFEST,
    AnnotationTable,
    Changes,
    Layout,
    Listing,
    Origin,
    Piece,
    check_prune,
    claim,
    cut_work,
    label_pieces,
    read_pieces,
    settle,
    sign,
    signature,
)
from medlabel.data.framing import CentreSquare
from medlabel.data.listing import Part, list_parts
from medlabel.storage.store import Store
from medlabel.student.bundle import Bundle, load_bundle, save_bundle
from medlabel.student.decision import Assessment
from medlabel.student.networks import Student

SMALL = Layout(CentreSquare(28, 1), rows=4, batch=4)
ORIGIN = Origin.of("b1", {"sha256": "f00", "seed": 3}, 0.75, "medlabel 1", "2026-01-01T00:00:00")
CLASSES = ["chest", "breast"]


def annotate_folder(
    root: Path,
    count: int = 12,
    broken: int = 1,
    twins: int = 0,
    *,
    two_levels: bool = False,
    **provenance: object,
) -> Store:
    """PNG files in `root/scans`, a student in `root/bundle`, their annotations in `root/out`.

    With `two_levels` every second image is dark, and the others are bright.
    """
    torch.manual_seed(0)
    bundle_store = Store(str(root / "bundle"))
    save_bundle(
        bundle_store, Student("small", 1, CLASSES, 28).eval(), {"bundle_id": "b1", **provenance}
    )
    scans, rng = root / "scans", np.random.default_rng(0)
    scans.mkdir(parents=True)
    for number in range(count):
        image = rng.integers(0, 256, (30, 40), dtype=np.uint8)
        image = image // 4 + 120 * (1 - number % 2) if two_levels else image
        Image.fromarray(image).save(scans / f"{number:02}.png")
    for number in range(twins):
        (scans / f"twin-{number}.png").write_bytes((scans / f"{number:02}.png").read_bytes())
    for number in range(broken):
        (scans / f"broken-{number}.png").write_bytes(b"x")
    store, bundle = Store(str(root / "out")), load_bundle(bundle_store.uri)
    origin = Origin.of("b1", bundle.provenance, 0.5, "v", "t")
    return annotate_with(bundle, scans, store, origin, bundle_store.uri)


def annotate_with(
    bundle: Bundle, scans: Path, store: Store, origin: Origin, address: str = ""
) -> Store:
    """The annotations of a folder of images, whole and signed."""
    annotate_here(
        store, [str(scans)], assess=bundle.assess, classes=bundle.classes, layout=layout_of(bundle),
        origin=origin, bundle=address,
    )  # fmt: skip
    return store


@dataclass(frozen=True)
class Annotated:
    """What one call of `annotate_here` did: images read, images labelled, and the rest."""

    read: int
    labelled: int
    pieces: list[Piece]
    changes: Changes


def annotate_here(
    store: Store,
    sources: Sequence[str | Part],
    *,
    assess: Callable[..., Assessment] | None = None,
    classes: Sequence[str] = ("dark", "bright"),
    layout: Layout = SMALL,
    origin: Origin = ORIGIN,
    bundle: str = "",
    prune: bool = False,
    killed_after: Sequence[int] | None = None,
) -> Annotated:
    """What `medlabel annotate` does, in this process; it is killed after some of its pieces."""
    parts = [part for one in sources for part in _parts(one)]
    names = [one for one in sources if isinstance(one, str)]
    asked = {
        "sources": names, "bundle": bundle, "size": 28, "data_root": None, "column": None
    }  # fmt: skip
    listing, table = Listing.of(parts), AnnotationTable(store)
    if prune:
        check_prune(table, listing)
    claimed = claim(store, asked, origin, listing)
    table.discard_damaged()
    read = labelled = 0
    work = cut_work(listing, *listing.missing(table.entries()[1]), layout)
    for done, piece in enumerate(one for some in work for one in read_pieces(some, layout)):
        if killed_after is not None and done not in killed_after:
            continue
        found = label_pieces(
            piece.images, piece.chroma, assess or brightness, layout.batch, piece.kept
        )
        table.write(piece, found, classes, claimed.origin, claimed.generation)
        read, labelled = read + len(piece.images), labelled + int((~piece.unchanged).sum())
    if killed_after is not None:
        raise KeyboardInterrupt
    pieces, changes = settle(table, listing, prune=prune)
    sign(store, asked, pieces, listing, changes, decisions={}, prune=prune)
    return Annotated(read, labelled, pieces, changes)


def _parts(source: str | Part) -> list[Part]:
    return list_parts(source) if isinstance(source, str) else [source]


def brightness(images: np.ndarray, chroma: object = None) -> Assessment:
    """A student of two classes: how dark, how bright."""
    bright = images.reshape(len(images), -1).mean(axis=1) / 255
    chances = np.stack([1 - bright, bright], axis=1).astype(np.float32)
    return Assessment(chances, (bright > 0.7).astype(np.float32) * 2, calibrated=True)


def rows_of(store: Store) -> dict[str, dict[str, Any]]:
    """The rows of a table by address; an address that has two is an error."""
    table = AnnotationTable(store)
    rows = [row for piece in table.pieces() for row in table.read(piece).to_pylist()]
    found = {row["uri"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def rejects_of(store: Store) -> dict[str, str]:
    """The reasons of a table's rejects by address."""
    pieces = AnnotationTable(store).pieces()
    return {one.uri: one.reason for piece in pieces for one in piece.rejects}


def grey_folder(root: Path) -> Path:
    """Six pictures from dark to bright, `0.png` to `5.png`; the third is broken."""
    root.mkdir(parents=True)
    for number in range(6):
        grey = Image.new("L", (40, 30), 40 * number)
        grey.convert("RGB" if number % 2 else "L").save(root / f"{number}.png")
    (root / "2.png").write_bytes(b"broken")
    return root


def sign_folder(store: Store, origin: Origin) -> None:
    """Write the manifest of a table that was written by hand."""
    signed = signature(AnnotationTable(store).pieces(), asdict(origin))
    store.write_json(MANIFEST, {"origin": asdict(origin), "sha256": signed})
