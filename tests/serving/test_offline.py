"""The service and the annotation table give the same labels and the same decisions."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from service_client import ServiceClient
from support_annotations import annotate_with

from medlabel.annotation.table import AnnotationTable, Origin
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.calibration import calibrate
from medlabel.student.decision import AUTO_ABOVE
from medlabel.student.fit import fit
from medlabel.student.recipes import RECIPES
from serving.schemas import ServeArgs

RNG = np.random.default_rng(0)


def ramps(n, low=20, high=230):
    """Noise around grey levels from low to high."""
    level = np.linspace(low, high, n)[:, None, None]
    return (level + RNG.normal(0, 15, (n, 28, 28))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A calibrated student that has learned to tell dark from bright."""
    images = ramps(200)
    bright = 1 / (1 + np.exp(-(np.linspace(20, 230, 200) - 125) / 8))
    scores = np.stack([1 - bright, bright], axis=1).astype(np.float32)
    student = fit(images, scores, ("dark", "bright"), RECIPES["adam"], 0, architecture="small")
    calibration = calibrate(student.student, images, scores)
    folder = str(tmp_path_factory.mktemp("bundle"))
    save_bundle(Store(folder), student.student, {"bundle_id": "b1"}, calibration)
    return folder


def test_the_service_and_the_table_decide_by_one_rule(bundle, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    strange = RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    for number, image in enumerate([*ramps(40), *strange]):
        Image.fromarray(image).save(scans / f"{number:02}.png")
    loaded = load_bundle(bundle)
    origin = Origin.of("b1", loaded.provenance, AUTO_ABOVE, "v", "t")
    store = annotate_with(loaded, scans, Store(str(tmp_path / "out")), origin)
    (piece,) = AnnotationTable(store).pieces()
    offline = {row["uri"]: row for row in AnnotationTable(store).read(piece).to_pylist()}
    client = ServiceClient(tmp_path / "state", bundles=[bundle])
    files = [(path.name, path.read_bytes()) for path in sorted(scans.iterdir())]
    results = client.post(*files).json()["results"]
    assert [served["file"] for served in results] == [name for name, _ in files]
    for served in results:
        row = offline[str(scans / served["file"])]
        assert (served["label"], served["decision"]) == (row["label"], row["decision"])
        assert ",".join(served["review_reasons"]) == row["review_reasons"]
        assert served["ood_score"] == pytest.approx(row["ood_score"], abs=1e-4)
        assert served["confidence"] == pytest.approx(row["confidence"], abs=1e-5)
    client.service.close()
    seen = Counter(row["review_reasons"] for row in offline.values())
    assert {
        "",
        "low_confidence",
        "low_confidence,out_of_distribution",
    } <= seen.keys()  # each has been compared


def test_the_service_asks_for_as_much_as_the_table_does():
    assert ServeArgs(bundles=["a"]).auto_above == AUTO_ABOVE
