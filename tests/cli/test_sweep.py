"""`medlabel sweep` as a person meets it."""

import sys

import pytest
import ray

from medlabel.cli import app as cli


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
    path.write_text(
        "sources: ['phantom:chestmnist', 'phantom:bloodmnist']\nseeds: 2\nper_class: 5\n"
    )
    return path


def test_a_mistake_is_one_line_and_leaves_nothing(medlabel, tmp_path, spec):
    spec.write_text("sources: [chestmnist, breastmnist]\nseed: 3\n")
    code, _, errors = medlabel("sweep", spec, "--out", tmp_path / "out")
    assert (code, errors.count("\n")) == (2, 1)
    assert "spec.yaml: no such field seed; there are name, size, sources" in errors
    assert not (tmp_path / "out").exists()


def test_options_reach_the_sweep_as_they_are_typed(medlabel, monkeypatch, tmp_path, spec):
    asked = []
    monkeypatch.setattr("rayjobs.sweep.job.sweep", lambda s, _: asked.append(s) or sys.exit(0))
    rest = ("--workers", 3, "--gpus-per-worker", 0.1)
    _, output, _ = medlabel("sweep", spec, "--out", tmp_path / "out", *rest)
    assert output.splitlines()[0] == "The teacher phantom reads:"
    assert "  blood: a microscope image of a blood cell | " in output
    assert (asked[0].workers, asked[0].gpus) == (3, 0.1)
    assert asked[0].spec.seeds == 2


def test_a_plan_by_stated_rates_needs_no_ray_no_teacher_and_writes_nothing(
    medlabel, monkeypatch, tmp_path, spec
):
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    rates = ("--seconds-per-fit", 3600, "--images-per-second", 1, "--workers", 4)
    options = (*rates, "--gpus-per-worker", 0.25, "--dry-run")
    code, printed, _ = medlabel("sweep", spec, "--out", tmp_path / "out", *options)
    assert code == 0
    table = printed.partition("cells")
    rows = (table[1] + table[2]).splitlines()
    lines = dict(line.strip().split("  ", 1) for line in rows if "  " in line.strip())
    assert lines["cells"].strip().startswith("2 ")
    assert lines["in all"].strip().startswith("30.")
    assert "by the rates stated" in printed
    assert lines["GPU-hours"].strip() == "0.5"
    assert not (tmp_path / "out").exists()
