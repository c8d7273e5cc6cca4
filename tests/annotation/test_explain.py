import pandas as pd
import pytest
import torch
from support_annotations import CLASSES, annotate_folder

from medlabel.annotation.explain import explain
from medlabel.errors import MedlabelError
from medlabel.student.bundle import save_bundle
from medlabel.student.networks import Student


@pytest.fixture
def store(tmp_path):
    return annotate_folder(tmp_path)


def test_every_label_comes_out_the_same(store, tmp_path):
    for number in range(12):
        found = explain(store, f"{number:02}.png")
        assert found.reproduced, found
        assert found.row["uri"] == str(tmp_path / "scans" / f"{number:02}.png")
        assert found.label == found.row["label"]


def test_another_image_in_its_place_is_noticed(store, tmp_path):
    path = tmp_path / "scans" / "03.png"
    path.write_bytes((tmp_path / "scans" / "04.png").read_bytes())
    with pytest.raises(MedlabelError, match="has changed since it was labelled"):
        explain(store, str(path))


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
