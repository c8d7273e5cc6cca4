"""Corrections are only ever added, and come back whole in every form."""

import asyncio
import csv
import io
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from xml.etree import ElementTree

import pytest
from service_client import write_bundle

from medlabel.errors import MedlabelError
from serving.corrections import _SCHEMA, Corrections, as_csv, as_tasks, labelling_config
from serving.schemas import Correction

CLASSES = ["chest", "breast"]
NEW_COLUMNS = ",\n  classes TEXT NOT NULL, completes INTEGER NOT NULL"


def correction(label="breast", **changes):
    facts = {"sha256": "a" * 64, "file": "x.png", "bundle": "b", "predicted": "chest"}
    return Correction(**(facts | {"confidence": 0.6, "label": label, "who": "Ada"} | changes))


@pytest.fixture
def corrections(tmp_path):
    return Corrections(tmp_path / "deep" / "corrections.sqlite")


def test_the_latest_counts_and_the_first_is_kept(corrections):
    corrections.add(correction("breast"), CLASSES)
    corrections.add(correction("chest", sha256="b" * 64), CLASSES)
    corrections.add(correction("chest", who="Bob"), CLASSES)
    assert [(one.sha256[0], one.label) for one in corrections.latest()] == [
        ("b", "chest"),
        ("a", "chest"),
    ]
    assert [one.label for one in corrections.history()] == ["breast", "chest", "chest"]
    assert all(one.at.endswith("+00:00") for one in corrections.history())


def test_images_of_one_stack_are_kept_apart(corrections):
    corrections.add(correction(index=0), CLASSES)
    corrections.add(correction("chest", index=1), CLASSES)
    assert [(one.index, one.label) for one in corrections.latest()] == [(0, "breast"), (1, "chest")]


def test_corrections_of_different_tasks_are_both_kept(corrections):
    corrections.add(correction("breast"), CLASSES)
    corrections.add(correction("normal", bundle="c"), ["normal", "pneumonia"])
    corrections.add(correction("chest", bundle="d"), ["breast", "chest"])  # the same classes
    kept = [(one.label, one.classes) for one in corrections.latest()]
    assert kept == [("normal", ["normal", "pneumonia"]), ("chest", ["breast", "chest"])]


def test_images_that_could_not_be_read_are_distinguished_by_their_url(corrections):
    for file in ("/data/upload/1/a.png", "/data/upload/1/b.png", "/data/upload/1/a.png"):
        values = correction().model_dump() | {"sha256": "", "file": file}
        corrections.add(Correction.model_construct(**values), CLASSES)
    assert [one.file[-5:] for one in corrections.latest()] == ["b.png", "a.png"]


def test_a_file_of_an_earlier_version_is_migrated(corrections, tmp_path):
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_SCHEMA.replace(NEW_COLUMNS, ""))
        database.execute(
            "INSERT INTO corrections VALUES (1, 't', ?, 0, 'x', 'b', 'chest', 0.6, 'breast', '')",
            ("a" * 64,),
        )
    old = Corrections(path)
    old.add(correction(sha256="b" * 64), CLASSES)
    assert [one.classes for one in old.latest()] == [[], ["breast", "chest"]]
    old.add(correction("chest"), CLASSES)  # of the first one, again
    assert [(one.sha256[0], one.label) for one in old.latest()] == [("b", "breast"), ("a", "chest")]


def test_replicas_that_open_an_old_file_at_once_all_get_it(tmp_path):
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_SCHEMA.replace(NEW_COLUMNS, ""))
    with ThreadPoolExecutor(8) as threads:
        copies = list(threads.map(Corrections, [path] * 8))
    copies[0].add(correction(), CLASSES)
    assert len(copies[-1].latest()) == 1


def test_a_correction_completed_late_keeps_its_place_in_the_order(corrections):
    def unread(label):
        values = correction(label).model_dump() | {"sha256": "", "file": "/data/upload/1/a.png"}
        return Correction.model_construct(**values)

    first = corrections.add(unread("breast"), CLASSES)
    second = corrections.add(unread("chest"), CLASSES)
    assert [one.label for one in corrections.latest()] == ["chest"]
    for label, stored in (("chest", second), ("breast", first)):
        corrections.add(
            correction(label, file="/data/upload/1/a.png"), CLASSES, completes=stored.id
        )
    (kept,) = corrections.latest()
    assert (kept.label, kept.sha256) == ("chest", "a" * 64)
    assert [one.sha256[:1] for one in corrections.history()] == ["a", "a"]
    (task,) = as_tasks(corrections.latest(), "/data/local-files/?d=images/")
    assert task["data"]["image"] == "/data/upload/1/a.png"


@pytest.mark.parametrize(
    "change", ["UPDATE corrections SET label = 'x'", "DELETE FROM corrections"]
)
def test_nothing_is_changed_or_removed(corrections, tmp_path, change):
    corrections.add(correction(), CLASSES)
    database = sqlite3.connect(tmp_path / "deep" / "corrections.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="only added"):
        database.execute(change)
    database.close()


def test_another_replica_sees_it_too(corrections, tmp_path):
    corrections.add(correction(), CLASSES)
    assert len(Corrections(tmp_path / "deep" / "corrections.sqlite").latest()) == 1


def test_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    with pytest.raises(MedlabelError, match="cannot keep corrections"):
        Corrections(tmp_path / "junk")


def test_table_reads_back_and_runs_no_formula(corrections):
    corrections.add(correction(file="=cmd()|x.png", who='Ada, "the" first'), CLASSES)
    (row,) = csv.DictReader(io.StringIO(as_csv(corrections.latest())))
    assert row["file"] == "'=cmd()|x.png"
    assert (row["who"], row["label"], row["predicted"]) == ('Ada, "the" first', "breast", "chest")
    assert json.loads(row["classes"]) == ["breast", "chest"]


def test_task_has_prediction_and_annotation(corrections):
    corrections.add(correction(), CLASSES)
    (task,) = as_tasks(corrections.latest(), "/data/")
    assert task["data"]["image"] == "/data/x.png"
    corrections.add(correction(file="a b&c.png"), CLASSES)
    (task,) = as_tasks(corrections.latest(), "/data/local-files/?d=")
    assert task["data"]["image"] == "/data/local-files/?d=a%20b%26c.png"
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["chest"]}
    assert task["annotations"][0]["result"][0]["value"] == {"choices": ["breast"]}
    assert "id" not in task["data"]


def test_configuration_names_what_tasks_name(corrections):
    corrections.add(correction(), CLASSES)
    (task,) = as_tasks(corrections.latest())
    root = ElementTree.fromstring(labelling_config(["chest", 'a"<b']))
    region = task["annotations"][0]["result"][0]
    assert root.find("Choices").get("name") == region["from_name"]
    assert root.find("Image").get("value") == "$image"
    assert [one.get("value") for one in root.iter("Choice")] == ["chest", 'a"<b']


def test_corrections_over_http(client):
    facts = correction(bundle="test").model_dump()
    stored = client.request("POST", "/corrections", json=facts)
    assert (stored.status_code, stored.json()["label"]) == (201, "breast")
    assert client.request("GET", "/corrections").json()["corrections"] == [stored.json()]
    assert client.request("GET", "/corrections.json").json()[0]["data"]["image"] == "x.png"
    assert "x.png" in client.request("GET", "/corrections.csv").text
    client.request("POST", "/corrections", json=facts | {"label": "chest"})
    assert len(client.request("GET", "/corrections.csv?all=true").text.splitlines()) == 3
    assert len(client.request("GET", "/corrections.csv").text.splitlines()) == 2


@pytest.mark.parametrize(
    "change", [{"label": "lung"}, {"sha256": "x"}, {"bundle": "other"}, {"who": "x" * 101}]
)
def test_what_makes_no_sense_is_not_kept(client, change):
    answer = client.request(
        "POST", "/corrections", json=correction(bundle="test").model_dump() | change
    )
    assert answer.status_code == 422
    assert client.request("GET", "/corrections").json()["corrections"] == []


def test_a_label_of_a_student_that_has_gone_can_still_be_corrected(client, tmp_path):
    old = client.service.registry.models[0]
    facts = correction(bundle=old.id, label=old.classes[0]).model_dump()
    asyncio.run(client.service.set_bundles([write_bundle(tmp_path / "new", "new", seed=5)]))
    assert client.request("POST", "/corrections", json=facts).status_code == 201
    unknown = facts | {"bundle": "none"}
    assert client.request("POST", "/corrections", json=unknown).status_code == 422


def test_replicas_that_start_at_once_take_turns(tmp_path, monkeypatch):
    path, seen = tmp_path / "corrections.sqlite", []
    connect = sqlite3.connect

    def busy(*args, **kwargs):
        seen.append(args)
        if len(seen) < 3:
            raise sqlite3.OperationalError("database is locked")
        return connect(*args, **kwargs)

    monkeypatch.setattr("serving.corrections.sqlite3.connect", busy)
    monkeypatch.setattr("serving.corrections.time.sleep", lambda _: None)
    assert Corrections(path).latest() == []
    seen.clear()
    monkeypatch.setattr("serving.corrections._ATTEMPTS", 2)
    with pytest.raises(MedlabelError, match="database is locked"):
        Corrections(path)
