"""What `import medlabel` gives: names, imported lazily, with docstrings whose examples run."""

import doctest
import importlib
import inspect
import subprocess
import sys
import time

import pytest

import medlabel as ml

DOCUMENTED = (
    "medlabel.data.images",
    "medlabel.teacher.classifier",
    "medlabel.student.estimator",
    "medlabel.evaluation.evaluate",
    "medlabel.jobs",
)


def test_importing_it_imports_nothing_heavy():
    code = "import sys, medlabel; print(*sys.modules)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 5  # 0.1 s on an idle machine; tests run beside others
    heavy = {"torch", "ray", "pandas", "numpy", "sklearn", "open_clip", "rayjobs", "matplotlib"}
    assert not heavy & set(done.stdout.split())


def test_every_public_name_is_there_and_documented():
    assert set(ml.__all__) <= set(dir(ml))
    for name in ml.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(ml, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'teach'"):
        _ = ml.teach


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_parameters_are_described(name):
    module = importlib.import_module(name)
    for public in set(module.__all__) & set(ml.__all__):
        value = getattr(module, public)
        methods = inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else []
        for label, function in [(public, value), *methods]:
            if label.startswith("_") or not inspect.isfunction(function):
                continue
            if not function.__module__.startswith("medlabel"):
                continue
            text = inspect.getdoc(function) or ""
            for parameter in inspect.signature(function).parameters:
                assert parameter == "self" or f"{parameter}:" in text, f"{label}({parameter})"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_run(name, small_teacher, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDLABEL_HOME", str(small_teacher))
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    space = {"ml": ml}
    ran = 0
    for test in finder.find(module, extraglobs=space):
        test.globs = space  # one reader reads on: later examples use names of earlier ones
        ran += len(test.examples)
        runner.run(test, clear_globs=False)
    assert runner.failures == 0
    assert ran
