import os

import pandas as pd
import pytest
import torch
from support import write_npz
from support_annotations import CLASSES, annotate_folder, annotate_with

from benchmarks.local_annotation import annotate_here
from medlabel.annotation.explain import explain, layout_of
from medlabel.annotation.table import MANIFEST, Origin
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import local_file
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.networks import Student


@pytest.fixture
def store(tmp_path):
    return annotate_folder(tmp_path)


def origin_of(store):
    return Origin(**store.read_json(MANIFEST)["origin"])


def test_every_label_comes_out_the_same(store, tmp_path):
    for number in range(12):
        found = explain(store, f"{number:02}.png")
        assert found.reproduced, found
        assert found.row["uri"] == str(tmp_path / "scans" / f"{number:02}.png")
        assert found.label == found.row["label"]


def test_another_image_in_its_place_is_noticed(store, tmp_path):
    path = tmp_path / "scans" / "03.png"
    path.write_bytes((tmp_path / "scans" / "04.png").read_bytes())
    found = explain(store, str(path))
    assert not found.same_content
    assert not found.reproduced
    path.unlink()
    with pytest.raises(MedlabelError, match="cannot be read any more"):
        explain(store, str(path))


def test_a_label_that_was_added_later_comes_out_the_same(store, tmp_path):
    """It was first in its batch, whatever its place among all files is."""
    scans, bundle = tmp_path / "scans", load_bundle(str(tmp_path / "bundle"))
    (scans / "05-new.png").write_bytes((scans / "03.png").read_bytes())
    (scans / "a-new.png").write_bytes((scans / "07.png").read_bytes())
    annotate_with(bundle, scans, store, origin_of(store), str(tmp_path / "bundle"))
    for number, name in enumerate(["05-new.png", "a-new.png"]):
        found = explain(store, name)
        assert found.reproduced
        assert found.row["place"] == number
    assert explain(store, "07.png").reproduced


def test_an_image_of_any_name_is_found_as_it_is_typed(store, tmp_path, monkeypatch):
    scans, bundle = tmp_path / "scans", load_bundle(str(tmp_path / "bundle"))
    names = [os.fsdecode(b"\xff.png"), "a\nb.png", "a#3", "a::b [1].png", "%41.png "]
    for name in names:
        (scans / name).write_bytes((scans / "03.png").read_bytes())
    annotate_with(bundle, scans, store, origin_of(store), str(tmp_path / "bundle"))
    monkeypatch.chdir(tmp_path / "bundle")
    for name in names:
        found = explain(store, name)
        assert found.reproduced
        assert local_file(found.row["uri"]) == scans / name
    assert explain(store, f"../scans/./{names[1]}").row["uri"].endswith(r"/a\x0ab.png")
    assert explain(store, found.row["uri"]).row == found.row


def test_only_the_file_of_the_image_is_listed(store, tmp_path, monkeypatch):
    monkeypatch.setattr("medlabel.annotation.images.list_parts", lambda *_: 1 / 0)
    assert explain(store, "03.png").reproduced


def test_an_image_in_a_stack_is_found_by_its_place(store, tmp_path):
    stack = write_npz(tmp_path / "a.npz", n=6)
    bundle = load_bundle(str(tmp_path / "bundle"))
    annotate_here(
        store, [str(stack)], assess=bundle.assess, classes=bundle.classes,
        layout=layout_of(bundle), origin=origin_of(store), bundle=str(tmp_path / "bundle"),
    )  # fmt: skip
    found = explain(store, f"{stack}#train/5")
    assert found.reproduced
    assert found.row["uri"].endswith("a.npz#train/5")


def test_another_student_in_its_place_is_noticed(store, tmp_path):
    from medlabel.storage.store import Store

    torch.manual_seed(1)
    student = Student("small", 1, CLASSES, 28).eval()
    save_bundle(Store(str(tmp_path / "bundle")), student, {"bundle_id": "b1"})
    found = explain(store, "03.png")
    assert not found.same_weights
    assert not found.reproduced
    assert found.difference > 0


def test_what_has_no_label_has_a_reason(store):
    rejects = pd.DataFrame({"uri": ["/scans/broken-0.png"], "reason": ["not an image"]})
    store.write_table("rejects.parquet", rejects)
    with pytest.raises(MedlabelError, match="has no label: not an image"):
        explain(store, "broken-0.png")


@pytest.mark.parametrize(("image", "message"), [("gone.png", "no annotation of gone.png")])
def test_what_is_missing_is_reported(store, image, message):
    with pytest.raises(MedlabelError, match=message):
        explain(store, image)
