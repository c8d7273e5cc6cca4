import json
import os
import re
import stat
from functools import partial
from urllib.parse import unquote_to_bytes

import pandas as pd
import pyarrow as pa
import pytest
from support_annotations import annotate_folder
from support_verdicts import GUESSING

from medlabel.annotation.audit import plan_audit, report_audit
from medlabel.annotation.export import ExportConfig, _address, export_labels, read_names
from medlabel.annotation.export_formats import link_images
from medlabel.annotation.guarantee import AuditDesign
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import escaped, path_text
from medlabel.storage.digests import hex_digest

NAMES = {"chest": "Thorax", "breast": "Mamma"}


@pytest.fixture
def store(tmp_path):
    return annotate_folder(tmp_path)


def test_csv_and_parquet_hold_every_annotation(store, tmp_path):
    for name, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)):
        assert export_labels(store, tmp_path / name, ExportConfig()) == 12
        rows = read(tmp_path / name)
        assert rows["uri"].nunique() == 12
        assert (rows["confidence"] == rows[["p_chest", "p_breast"]].max(axis=1)).all()


def test_label_studio_is_given_predictions_and_its_own_addresses(store, tmp_path):
    export_labels(store, tmp_path / "a.json", ExportConfig(names=NAMES, image_root=str(tmp_path)))
    tasks = json.loads((tmp_path / "a.json").read_text())
    assert len(tasks) == 12
    (prediction,) = tasks[0]["predictions"]
    (region,) = prediction["result"]
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=scans/00.png"
    assert (prediction["model_version"], region["type"]) == ("b1", "choices")
    row = (
        pd.read_parquet(tmp_path / "out/annotations")
        .set_index("uri")
        .loc[str(tmp_path / "scans/00.png")]
    )
    assert region["value"]["choices"] == [NAMES[row["label"]]]
    assert prediction["score"] == pytest.approx(row["confidence"], abs=1e-4)


def test_label_studio_is_given_no_guesses(tmp_path):
    store = annotate_folder(tmp_path, verdict=GUESSING.to_json())
    assert export_labels(store, tmp_path / "t.json", ExportConfig(image_root=str(tmp_path))) == 12
    tasks = json.loads((tmp_path / "t.json").read_text())
    assert [task["predictions"] for task in tasks] == [[]] * 12


def test_names_of_files_become_addresses_that_label_studio_can_ask_for(tmp_path):
    store = annotate_folder(tmp_path / "a b&c", count=1, broken=0)
    export_labels(store, tmp_path / "a.json", ExportConfig(image_root=str(tmp_path)))
    (task,) = json.loads((tmp_path / "a.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=a%20b%26c/scans/00.png"


def test_a_guarantee_decides_what_is_automatic(store, tmp_path):
    assert (
        export_labels(store, tmp_path / "a.csv", ExportConfig(only="auto")) == 0
    )  # not calibrated
    plan_audit(store, AuditDesign(12, precision=0.7))
    export_labels(store, tmp_path / "a.csv", ExportConfig())
    answers = dict(pd.read_csv(tmp_path / "a.csv")[["uri", "label"]].to_numpy().tolist())
    report_audit(store, answers)
    assert export_labels(store, tmp_path / "a.csv", ExportConfig(only="auto")) == 12
    report_audit(store, dict(list(answers.items())[:9]))
    with pytest.raises(MedlabelError, match="the guarantee does not hold"):
        export_labels(store, tmp_path / "a.csv", ExportConfig())


def test_classes_are_renamed_by_a_file(store, tmp_path):
    (tmp_path / "names.yaml").write_text("chest: Thorax\nbreast: Mamma\n")
    names = read_names(tmp_path / "names.yaml") | {"hand": "Manus"}  # of another task
    export_labels(store, tmp_path / "a.csv", ExportConfig(names=names))
    rows = pd.read_csv(tmp_path / "a.csv")
    assert set(rows["label"]) <= set(NAMES.values())
    assert {"p_Thorax", "p_Mamma"} <= set(rows.columns)


def test_new_names_stay_as_they_were_typed_and_none_is_empty(tmp_path):
    path = tmp_path / "names.yaml"
    path.write_text("chest: yes\n01: 1.10\nno: ~\n")
    assert read_names(path) == {"chest": "yes", "01": "1.10", "no": "~"}
    path.write_text("chest:\n")
    with pytest.raises(MedlabelError, match="'chest' has no new name"):
        read_names(path)


def test_classes_that_get_one_name_are_one(store, tmp_path):
    for name, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)):
        export_labels(store, tmp_path / name, ExportConfig(names=dict.fromkeys(NAMES, "Body")))
        rows = read(tmp_path / name)
        assert set(rows["label"]) == {"Body"}
        assert rows["p_Body"].to_numpy() == pytest.approx(1)
        assert rows["confidence"].to_numpy() == pytest.approx(1)
        assert rows.columns.is_unique


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("a.xlsx", {}, r"has to end in .coco.json, .csv, .parquet, .json, or"),
        ("a.csv", {"names": {"chest": "x"}}, "no new name for breast"),
        ("a.json", {"image_root": "/elsewhere"}, "is not in /elsewhere"),
    ],
)
def test_what_cannot_be_exported_is_reported_and_leaves_nothing(
    store, tmp_path, name, wanted, message
):
    before = set(tmp_path.iterdir())
    with pytest.raises(MedlabelError, match=message):
        export_labels(store, tmp_path / name, ExportConfig(**wanted))
    assert set(tmp_path.iterdir()) == before


@pytest.fixture
def umask():
    """A user who shares files with a group: new files are to have mode 664."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_the_mode_of_what_is_written_follows_the_umask(tmp_path):
    store = annotate_folder(tmp_path, count=1, broken=0)
    plan_audit(store, AuditDesign(1))
    for name in ("a.CSV", "a.parquet", "a.coco.json", "folder"):
        export_labels(store, tmp_path / "exported" / name, ExportConfig())
    export_labels(store, tmp_path / "a.json", ExportConfig(image_root=str(tmp_path)))
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in tmp_path.rglob("*")}
    files = [mode for path, mode in modes.items() if path.is_file() and not path.is_symlink()]
    assert len(files) >= 12
    assert set(files) == {0o664}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o775}


ODD = (b"100%.png", b"a#b.png", b"a#3", b"a?b&c;d+e.png", b"a\nb.png", b"\xff.png", b"x" * 249,
       b"y" * 251 + b".png", "日".encode() * 83 + b".png", b"%41.png", b" a .png")  # fmt: skip


def test_label_studio_gets_the_bytes_of_every_name_quoted_once():
    for name in ODD:
        uri = escaped(path_text(os.fsdecode(b"/scans/odd/" + name)))
        quoted = _address(uri, "/scans").removeprefix("/data/local-files/?d=odd/")
        assert unquote_to_bytes(quoted) == name
        assert re.fullmatch(r"[A-Za-z0-9_.~%-]+", quoted)


def test_links_lead_to_files_of_every_name(tmp_path):
    for name in ODD:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    uris = [escaped(path_text(tmp_path / os.fsdecode(name))) for name in ODD]
    digests = [hex_digest(name, 32) for name in ODD]
    rows = pa.table({"uri": uris, "label": ["ü"] * len(ODD), "digest": digests})
    assert link_images(tmp_path / "sorted", iter([rows])) == len(ODD)
    links = list((tmp_path / "sorted/ü").iterdir())
    assert {os.fsencode(link.resolve().name) for link in links} == set(ODD)
    assert all(link.suffix == link.resolve().suffix for link in links)


def test_a_link_keeps_a_long_name_apart_from_others(tmp_path):
    names = ["x" * 250 + ending for ending in ("a.png", "b.png")]
    for name in names:
        (tmp_path / name).write_bytes(b"the same")
    uris = [f"{tmp_path}/{name}" for name in names]
    rows = pa.table({"uri": uris, "label": ["a", "a"], "digest": ["0" * 32] * 2})
    assert link_images(tmp_path / "sorted", iter([rows])) == 2


def test_names_of_classes_read_back_from_every_table(tmp_path, monkeypatch):
    names = ["+ve", 'a"b,c;d\ne', "None", "01", "'=1"]
    monkeypatch.setattr("support_annotations.CLASSES", names)
    store = annotate_folder(tmp_path, count=6, broken=0)
    for name, read in (
        ("a.csv", partial(pd.read_csv, keep_default_na=False, dtype={"label": str})),
        ("a.parquet", pd.read_parquet),
    ):
        export_labels(store, tmp_path / name, ExportConfig())
        rows = read(tmp_path / name)
        assert [column[2:] for column in rows if column.startswith("p_")] == names
        assert set(rows["label"]) <= set(names)
