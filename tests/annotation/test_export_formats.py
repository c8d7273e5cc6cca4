import json

import pandas as pd
import pyarrow as pa
import pytest
from support_annotations import annotate_folder

from medlabel.annotation.export import ExportConfig, export_labels
from medlabel.annotation.export_formats import link_images
from medlabel.errors import MedlabelError

NAMES = {"chest": "Thorax", "breast": "Mamma"}


@pytest.fixture
def store(tmp_path):
    return annotate_folder(tmp_path, twins=1)


def test_coco_has_an_image_an_annotation_and_a_category_each(store, tmp_path):
    path = tmp_path / "a.coco.json"
    assert export_labels(store, path, ExportConfig(names=NAMES)) == 13
    found = json.loads(path.read_text())
    assert {one["file_name"] for one in found["images"]} >= {f"{tmp_path}/scans/00.png"}
    categories = {one["id"]: one["name"] for one in found["categories"]}
    assert set(categories.values()) <= set(NAMES.values())
    files = {one["id"]: one["file_name"] for one in found["images"]}
    rows = pd.read_parquet(tmp_path / "out/annotations").set_index("uri")
    assert set(files.values()) == set(rows.index)
    assert sorted(files) == sorted(one["image_id"] for one in found["annotations"])
    for one in found["annotations"]:
        row = rows.loc[files[one["image_id"]]]
        assert categories[one["category_id"]] == NAMES[row["label"]]
        assert one["score"] == pytest.approx(row["confidence"], abs=1e-4)


def test_an_empty_coco_file_is_whole(store, tmp_path):
    path = tmp_path / "a.coco.json"
    assert export_labels(store, path, ExportConfig(only="auto")) == 0
    assert json.loads(path.read_text())["annotations"] == []


def test_links_are_in_one_folder_per_class_and_lead_to_the_images(store, tmp_path):
    folder = tmp_path / "sorted"
    assert export_labels(store, folder, ExportConfig(names=NAMES)) == 13
    links = list(folder.rglob("*.png"))
    assert len(links) == 13
    rows = pd.read_parquet(tmp_path / "out/annotations").set_index("uri")
    for link in links:
        assert link.parent.name == NAMES[rows.loc[str(link.resolve()), "label"]]
    assert {str(link.resolve()) for link in links} == set(rows.index)
    with pytest.raises(MedlabelError, match="already exists"):
        export_labels(store, folder, ExportConfig())


@pytest.mark.parametrize(
    ("uri", "label", "message"),
    [
        ("/a.npz#train/0", "chest", "not a file on this machine"),
        ("s3://bucket/a.png", "chest", "not a file on this machine"),
        ("{here}", "../chest", "cannot be a folder's name"),
    ],
)
def test_what_cannot_be_linked_is_reported_and_leaves_nothing(tmp_path, uri, label, message):
    (tmp_path / "a.png").write_bytes(b"x")
    uri = uri.format(here=tmp_path / "a.png")
    rows = pa.table({"uri": [uri], "label": [label], "digest": ["0" * 32]})
    with pytest.raises(MedlabelError, match=message):
        link_images(tmp_path / "sorted", iter([rows]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
