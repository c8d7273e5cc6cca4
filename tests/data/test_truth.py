import ast
import pickle
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from medlabel.data.truth import SealedTruth, TruthIsSealedError
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.student.human_labels import HumanLabels

ROOT = Path(__file__).parents[2]


@pytest.fixture
def truth():
    return SealedTruth(["a/train/0", "b/train/1"], [0, 1])


@pytest.mark.parametrize("dump", [pickle.dumps, cloudpickle.dumps])
def test_truth_cannot_be_sent_to_another_process(truth, dump):
    with pytest.raises(TruthIsSealedError):
        dump({"within": [truth]})


def test_truth_is_no_array_and_shows_nothing(truth):
    with pytest.raises(TruthIsSealedError):
        np.asarray(truth)
    assert repr(truth) == "SealedTruth(2 images)"


def test_truth_survives_its_table(truth, tmp_path):
    store = Store(str(tmp_path))
    truth.save(store)
    assert SealedTruth.load(store).unseal(["b/train/1", "a/train/0"]).tolist() == [1, 0]


def test_an_image_without_truth_is_named(truth):
    with pytest.raises(MedlabelError, match="c/train/2"):
        truth.unseal(["c/train/2"])


def where(path):
    """A module as `package/file`."""
    return f"{path.parent.name}/{path.stem}"


def uses(attribute):
    """The project's modules in which an attribute of this name is read."""
    found = set()
    for folder in ("src", "rayjobs", "serving"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr == attribute:
                    found.add(where(path))
    return found


def test_only_evaluation_unseals_truth():
    assert uses("unseal") == {"evaluation/metrics"}


def test_labels_of_a_source_are_read_by_the_source_alone():
    assert uses("_labels") == {"data/sources", "data/truth"}


def test_truth_is_learned_from_by_the_ceiling_alone():
    assert {
        where(path)
        for folder in ("src", "rayjobs", "serving")
        for path in (ROOT / folder).rglob("*.py")
        if "true_scores(" in path.read_text()
    } == {"evaluation/metrics", "rayjobs/ceiling"}


ANSWERS = (
    "src/medlabel/annotation/answers.py",
    "src/medlabel/annotation/retraining.py",
    "src/medlabel/student/human_labels.py",
    "rayjobs/retrain.py",
)


def test_a_human_label_enters_training_by_answers_alone():
    made = {
        where(path)
        for folder in ("src", "rayjobs", "serving")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "HumanLabels"
    }
    assert made == {"annotation/retraining", "student/human_labels"}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_handles_answers_cannot_see_the_truth(name):
    source = (ROOT / name).read_text()
    assert "import SealedTruth" not in source
    assert "medlabel.data.truth" not in source
    assert "medlabel.evaluation.metrics" not in source


def test_sealed_truth_is_no_human_answer(truth):
    with pytest.raises(TruthIsSealedError):
        HumanLabels(truth, 1)


EVIDENCE = sorted((ROOT / "src/medlabel/evaluation/evidence").glob("*.py"))


@pytest.mark.parametrize("path", EVIDENCE, ids=lambda path: path.stem)
def test_what_gives_a_verdict_cannot_see_the_truth(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    assert not imported & {"medlabel.data.truth", "medlabel.data.sources", "medlabel.data.tasks"}
    assert "medlabel.evaluation.metrics" not in imported


def test_a_run_writes_its_verdict_before_the_truth():
    tree = ast.parse((ROOT / "rayjobs/run.py").read_text())
    [run] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run"]
    judged, saved = [], []
    for call in (node for node in ast.walk(run) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        if name in ("write_verdict", "_judge", "with_warnings"):
            judged.append(call.lineno)
            assert "truth" not in {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
        elif name == "truth.save":
            saved.append(call.lineno)
    assert len(judged) >= 3
    assert len(saved) == 1
    assert max(judged) < saved[0]
