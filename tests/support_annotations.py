"""A small folder of annotations, made without Ray."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from medlabel.annotation.explain import layout_of
from medlabel.annotation.table import (
    MANIFEST,
    AnnotationTable,
    Origin,
    label_pieces,
    read_pieces,
    signature,
)
from medlabel.data.listing import list_parts
from medlabel.storage.store import Store
from medlabel.student.bundle import Bundle, load_bundle, save_bundle
from medlabel.student.networks import Student

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
    asked = {"sources": [str(scans)], "bundle": bundle_store.uri, "size": 28}
    return annotate_with(bundle, scans, store, origin, asked | {"data_root": None, "column": None})


def annotate_with(
    bundle: Bundle, scans: Path, store: Store, origin: Origin, asked: object = None
) -> Store:
    """The annotations of a folder of images, whole and signed."""
    table, layout = AnnotationTable(store), layout_of(bundle)
    for part in list_parts(str(scans)):
        for prepared in read_pieces(part, [0], layout):
            found = label_pieces(prepared.images, prepared.chroma, bundle.assess, layout.batch)
            table.write(prepared, found, bundle.classes, origin)
    sign(store, origin, asked=asked)
    return store


def sign(store: Store, origin: Origin, **more: object) -> None:
    """Write the manifest of a finished table."""
    signed = signature(AnnotationTable(store).pieces(), asdict(origin))
    store.write_json(MANIFEST, {"origin": asdict(origin), "sha256": signed, **more})
