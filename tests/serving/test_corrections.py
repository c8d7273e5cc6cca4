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
from doors import write_bundle

from medlabel.errors import MedlabelError
from serving.corrections import _SCHEMA, Corrections, as_csv, as_tasks, labelling_config
from serving.schemas import Correction

CLASSES = ["chest", "breast"]
NEW_COLUMNS = ",\n  classes TEXT NOT NULL, completes INTEGER NOT NULL"


def word(label="breast", **changes):
    facts = {"sha256": "a" * 64, "file": "x.png", "bundle": "b", "predicted": "chest"}
    return Correction(**(facts | {"confidence": 0.6, "label": label, "who": "Ada"} | changes))


@pytest.fixture
def notes(tmp_path):
    return Corrections(tmp_path / "deep" / "corrections.sqlite")


def test_last_word_counts_and_the_first_is_kept(notes):
    notes.add(word("breast"), CLASSES)
    notes.add(word("chest", sha256="b" * 64), CLASSES)
    notes.add(word("chest", who="Bob"), CLASSES)
    assert [(one.sha256[0], one.label) for one in notes.latest()] == [
        ("b", "chest"),
        ("a", "chest"),
    ]
    assert [one.label for one in notes.history()] == ["breast", "chest", "chest"]
    assert all(one.at.endswith("+00:00") for one in notes.history())


def test_images_of_one_stack_are_told_apart(notes):
    notes.add(word(index=0), CLASSES)
    notes.add(word("chest", index=1), CLASSES)
    assert [(one.index, one.label) for one in notes.latest()] == [(0, "breast"), (1, "chest")]


def test_words_of_students_of_different_tasks_are_both_kept(notes):
    notes.add(word("breast"), CLASSES)
    notes.add(word("normal", bundle="c"), ["normal", "pneumonia"])
    notes.add(word("chest", bundle="d"), ["breast", "chest"])  # the same classes
    kept = [(one.label, one.classes) for one in notes.latest()]
    assert kept == [("normal", ["normal", "pneumonia"]), ("chest", ["breast", "chest"])]


def test_images_that_could_not_be_read_are_told_by_their_address(notes):
    for file in ("/data/upload/1/a.png", "/data/upload/1/b.png", "/data/upload/1/a.png"):
        words = word().model_dump() | {"sha256": "", "file": file}
        notes.add(Correction.model_construct(**words), CLASSES)
    assert [one.file[-5:] for one in notes.latest()] == ["b.png", "a.png"]


def test_a_file_from_before_classes_were_kept_is_read_and_gone_on_with(notes, tmp_path):
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_SCHEMA.replace(NEW_COLUMNS, ""))
        database.execute(
            "INSERT INTO corrections VALUES (1, 't', ?, 0, 'x', 'b', 'chest', 0.6, 'breast', '')",
            ("a" * 64,),
        )
    old = Corrections(path)
    old.add(word(sha256="b" * 64), CLASSES)
    assert [one.classes for one in old.latest()] == [[], ["breast", "chest"]]
    old.add(word("chest"), CLASSES)  # of the first one, again
    assert [(one.sha256[0], one.label) for one in old.latest()] == [("b", "breast"), ("a", "chest")]


def test_copies_that_open_an_old_file_at_once_all_get_it(tmp_path):
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_SCHEMA.replace(NEW_COLUMNS, ""))
    with ThreadPoolExecutor(8) as threads:
        copies = list(threads.map(Corrections, [path] * 8))
    copies[0].add(word(), CLASSES)
    assert len(copies[-1].latest()) == 1


def test_a_word_whose_image_was_read_late_has_the_turn_in_which_it_was_said(notes):
    def unread(label):
        values = word(label).model_dump() | {"sha256": "", "file": "/data/upload/1/a.png"}
        return Correction.model_construct(**values)

    first = notes.add(unread("breast"), CLASSES)
    second = notes.add(unread("chest"), CLASSES)
    assert [one.label for one in notes.latest()] == ["chest"]
    for label, said in (("chest", second), ("breast", first)):
        notes.add(word(label, file="/data/upload/1/a.png"), CLASSES, completes=said.id)
    (kept,) = notes.latest()
    assert (kept.label, kept.sha256) == ("chest", "a" * 64)
    assert [one.sha256[:1] for one in notes.history()] == ["a", "a"]
    (task,) = as_tasks(notes.latest(), "/data/local-files/?d=images/")
    assert task["data"]["image"] == "/data/upload/1/a.png"


@pytest.mark.parametrize(
    "change", ["UPDATE corrections SET label = 'x'", "DELETE FROM corrections"]
)
def test_nothing_is_changed_or_removed(notes, tmp_path, change):
    notes.add(word(), CLASSES)
    database = sqlite3.connect(tmp_path / "deep" / "corrections.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="only added"):
        database.execute(change)
    database.close()


def test_another_copy_sees_it_too(notes, tmp_path):
    notes.add(word(), CLASSES)
    assert len(Corrections(tmp_path / "deep" / "corrections.sqlite").latest()) == 1


def test_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    with pytest.raises(MedlabelError, match="cannot keep corrections"):
        Corrections(tmp_path / "junk")


def test_table_reads_back_and_runs_no_formula(notes):
    notes.add(word(file="=cmd()|x.png", who='Ada, "the" first'), CLASSES)
    (row,) = csv.DictReader(io.StringIO(as_csv(notes.latest())))
    assert row["file"] == "'=cmd()|x.png"
    assert (row["who"], row["label"], row["predicted"]) == ('Ada, "the" first', "breast", "chest")
    assert json.loads(row["classes"]) == ["breast", "chest"]


def test_task_has_prediction_and_annotation(notes):
    notes.add(word(), CLASSES)
    (task,) = as_tasks(notes.latest(), "/data/")
    assert task["data"]["image"] == "/data/x.png"
    notes.add(word(file="a b&c.png"), CLASSES)
    (task,) = as_tasks(notes.latest(), "/data/local-files/?d=")
    assert task["data"]["image"] == "/data/local-files/?d=a%20b%26c.png"
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["chest"]}
    assert task["annotations"][0]["result"][0]["value"] == {"choices": ["breast"]}
    assert "id" not in task["data"]


def test_configuration_names_what_tasks_name(notes):
    notes.add(word(), CLASSES)
    (task,) = as_tasks(notes.latest())
    root = ElementTree.fromstring(labelling_config(["chest", 'a"<b']))
    region = task["annotations"][0]["result"][0]
    assert root.find("Choices").get("name") == region["from_name"]
    assert root.find("Image").get("value") == "$image"
    assert [one.get("value") for one in root.iter("Choice")] == ["chest", 'a"<b']


def test_corrections_over_http(door):
    facts = word(bundle="test").model_dump()
    stored = door.ask("POST", "/corrections", json=facts)
    assert (stored.status_code, stored.json()["label"]) == (201, "breast")
    assert door.ask("GET", "/corrections").json()["corrections"] == [stored.json()]
    assert door.ask("GET", "/corrections.json").json()[0]["data"]["image"] == "x.png"
    assert "x.png" in door.ask("GET", "/corrections.csv").text
    door.ask("POST", "/corrections", json=facts | {"label": "chest"})
    assert len(door.ask("GET", "/corrections.csv?all=true").text.splitlines()) == 3
    assert len(door.ask("GET", "/corrections.csv").text.splitlines()) == 2


@pytest.mark.parametrize(
    "change", [{"label": "lung"}, {"sha256": "x"}, {"bundle": "other"}, {"who": "x" * 101}]
)
def test_what_makes_no_sense_is_not_kept(door, change):
    answer = door.ask("POST", "/corrections", json=word(bundle="test").model_dump() | change)
    assert answer.status_code == 422
    assert door.ask("GET", "/corrections").json()["corrections"] == []


def test_a_label_of_a_student_that_has_gone_can_still_be_corrected(door, tmp_path):
    old = door.service.shelf.models[0]
    told = word(bundle=old.id, label=old.classes[0]).model_dump()
    asyncio.run(door.service.offer([write_bundle(tmp_path / "new", "new", seed=5)]))
    assert door.ask("POST", "/corrections", json=told).status_code == 201
    nobodys = told | {"bundle": "none"}
    assert door.ask("POST", "/corrections", json=nobodys).status_code == 422


def test_copies_that_start_at_once_take_turns(tmp_path, monkeypatch):
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
    monkeypatch.setattr("serving.corrections._TRIES", 2)
    with pytest.raises(MedlabelError, match="database is locked"):
        Corrections(path)
