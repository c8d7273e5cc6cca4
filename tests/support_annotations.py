"""A small folder of annotations, made without Ray."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.local_annotation import annotate_here
from medlabel.annotation.explain import layout_of
from medlabel.annotation.table import MANIFEST, AnnotationTable, Origin, signature
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
