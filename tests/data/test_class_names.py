"""Classes whose names nobody can tell apart are refused where they are named."""

from functools import partial

import numpy as np
import pytest

from medlabel.data.class_names import alike, refuse_alike, refuse_reserved
from medlabel.data.tasks import parse_task
from medlabel.errors import MedlabelError
from medlabel.experiments.sweep_spec import read_sweep
from medlabel.student.pseudo_labels import read_pseudo_labels
from medlabel.teacher.classifier import _captions
from medlabel.teacher.task_captions import captions_by_names

ALIKE = [
    ("chest", "chest"), ("chest", "Chest"), ("knee MRI", " knee  MRI "),
    ("\u00d6dem", "O\u0308dem"), ("T2", "T\u00b2"), ("chest", "chest\u200b"),
    ("Stra\u00dfe", "STRASSE"),
]  # fmt: skip


@pytest.mark.parametrize("names", ALIKE)
def test_names_that_look_the_same_are_alike(names):
    assert alike(["breast", *names]) == names
    with pytest.raises(MedlabelError, match=r"name each class once|differ only in case, spaces"):
        refuse_alike(names)


def test_names_that_look_the_same_are_written_so_that_they_differ():
    with pytest.raises(MedlabelError, match=r"'\\xd6dem' and 'O\\u0308dem' differ"):
        refuse_alike(["\u00d6dem", "O\u0308dem"])


def test_other_names_are_not_alike():
    assert alike(["no finding", "finding", "no-finding", "1", "1.0", "I", "l", "-1"]) is None


def _sweep(tmp_path, first, second):
    path = tmp_path / "s.yaml"
    path.write_text(f"sources: ['{first}=a.npz', '{second}=b.npz']\n", encoding="utf-8")
    read_sweep(path)


@pytest.mark.parametrize("names", [("Chest", "chest"), ("\u00d6dem", "O\u0308dem")])
def test_everything_that_takes_classes_refuses_them_at_once(tmp_path, names):
    scores = np.eye(2, dtype=np.float32)
    for take in (
        partial(parse_task, f"{names[0]}=a.npz,{names[1]}=b.npz"),
        partial(captions_by_names, names),
        partial(captions_by_names, [f"{names[0]}=a film of a hip", names[1]], "paper"),
        partial(_captions, list(names), {name: [f"{name} film"] for name in names}),
        partial(_sweep, tmp_path, *names),
        partial(read_pseudo_labels, scores, names, 2),
    ):
        with pytest.raises(MedlabelError, match="differ only in case"):
            take()


def test_a_class_is_not_called_as_another_column_of_our_tables():
    refuse_reserved(["rows", "Split", "chest"])
    with pytest.raises(ValueError, match="a class may not be named 'row': choose another"):
        refuse_reserved(["chest", "row"])
