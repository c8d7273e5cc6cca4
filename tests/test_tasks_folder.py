"""The tasks that people copy: each of them parses, and says what its name says."""

from pathlib import Path

import pytest

from medlabel.data.sources import MEDMNIST_FLAGS
from medlabel.data.tasks import parse_task
from medlabel.teacher.task_captions import class_captions

TASKS = sorted((Path(__file__).parents[1] / "tasks").glob("*.yaml"))


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_task_parses_and_needs_no_file_of_ours(path):
    task = parse_task(str(path))
    assert task.title == path.stem
    assert {spec.source.removeprefix("phantom:") for spec in task.classes} <= set(MEDMNIST_FLAGS)
    assert all(class_captions(spec) for spec in task.classes)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("chest-vs-breast", ("chest", "breast")),
        ("blood-vs-pneumonia", ("blood", "pneumonia")),
        ("four-modalities", ("chest", "breast", "blood", "pneumonia")),
        ("pneumonia-vs-normal", ("normal", "pneumonia")),
        ("effusion-vs-rest", ("effusion", "no effusion")),
        ("phantom-demo", ("chest", "breast")),
    ],
)
def test_classes_are_those_of_the_name(name, classes):
    assert parse_task(f"{TASKS[0].parent}/{name}.yaml").class_names == classes
