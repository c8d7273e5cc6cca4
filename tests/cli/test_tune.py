"""`medlabel tune` as a person meets it."""

import sys

import pytest

from medlabel.cli import app as cli
from rayjobs.fit_placement import FitPlacement


@pytest.fixture
def medlabel(tmp_path, monkeypatch, capsys):
    """The command line, called as a person would: its exit code, output and errors."""
    monkeypatch.setenv("MEDLABEL_HOME", str(tmp_path / "home"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["medlabel", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("sources: ['phantom:chestmnist', 'phantom:bloodmnist']\ntrials: 3\n")
    return path


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("trial: 3\n", "spec.yaml: no such field trial; there are "),
        ("space: {loss: [mine]}\n", "space: loss: "),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(medlabel, tmp_path, spec, line, reason):
    spec.write_text(spec.read_text() + line)
    code, _, errors = medlabel("tune", spec, "--out", tmp_path / "out")
    assert (code, errors.count("\n")) == (2, 1)
    assert reason in errors
    assert not (tmp_path / "out").exists()


def test_an_unknown_tracker_is_refused_before_any_work(medlabel, tmp_path, spec):
    code, _, errors = medlabel("tune", spec, "--out", tmp_path / "out", "--track", "paper")
    assert code == 2
    assert "choose from mlflow, wandb" in errors
    assert not (tmp_path / "out").exists()


def test_options_reach_the_search_as_they_are_typed(medlabel, monkeypatch, tmp_path, spec):
    asked = []
    monkeypatch.setattr("rayjobs.tune.job.tune", lambda s, _: asked.append(s) or sys.exit(0))
    rest = ("--workers", 3, "--gpus-per-worker", 0.1)
    _, output, _ = medlabel("tune", spec, "--out", tmp_path / "out", *rest)
    assert "  blood: a microscope image of a blood cell | " in output
    assert (asked[0].workers, asked[0].gpus, asked[0].spec.trials) == (3, 0.1, 3)
    assert asked[0].placement == FitPlacement(workers=3, gpus=0.1)
