"""What a person meets on the command line: mistakes are one line and exit code 2."""

import collections
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import typer
from support import write_npz

from medlabel.cli import app as cli
from medlabel.teacher.adjust import NO_ADJUSTMENT


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
def refused(medlabel, tmp_path):
    """Run a command that must be refused: its one line, having seen that nothing is left."""

    def call(*arguments):
        out = tmp_path / "out"
        code, _, errors = medlabel("run", *arguments, "--out", out)
        assert code == 2, errors
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        assert not out.exists()
        return errors

    return call


@pytest.fixture
def pair(dark, bright):
    return f"dark={dark},bright={bright}"


def test_an_unknown_set(refused):
    assert "unknown set 'kneemnist'" in refused("kneemnist,breastmnist")


def test_a_missing_file(refused, tmp_path, dark):
    assert "gone.npz: no such file" in refused(f"a={dark},b={tmp_path / 'gone.npz'}")


def test_a_truncated_file(refused, pair, bright):
    bright.write_bytes(bright.read_bytes()[:-3000])
    assert "bright.npz: damaged" in refused(pair)


def test_a_class_with_one_image(refused, tmp_path, dark):
    write_npz(tmp_path / "one.npz", train_labels=np.eye(40, 1, dtype=np.uint8))
    assert "1 training image" in refused(f"a={dark},b={tmp_path / 'one.npz'}#1")


def test_two_classes_of_one_name(refused, dark, bright):
    assert "two classes are named 'a'" in refused(f"a={dark},a={bright}")


def test_an_unknown_model(refused, pair):
    assert "unknown model 'CLIP-9000'" in refused(pair, "--clip", "CLIP-9000")


def test_unknown_recipe_student_and_captions(refused, pair):
    assert "paper, adam, robust" in refused(pair, "--recipe", "secret")
    assert "unknown student" in refused(pair, "--student", "huge")
    assert "table, paper" in refused(pair, "--captions", "table,poem")


def test_captions_of_one_s_own_that_lack_a_class(refused, tmp_path, pair):
    (tmp_path / "mine.yaml").write_text("dark: [a dark image]")
    line = refused(pair, "--captions", tmp_path / "mine.yaml")
    assert "mine.yaml: no captions for class 'bright'" in line


def test_steps_that_do_not_exist_or_do_not_fit(refused, pair):
    assert "temperature, prior, em-prior, transduct" in refused(pair, "--adjust", "magic")
    assert "above 0" in refused(pair, "--adjust", "prior,temperature=0")
    assert "3 shares for 2 classes" in refused(pair, "--adjust", "prior=0.2:0.3:0.5")


def test_transduction_of_a_file_of_scores(refused, tmp_path, pair):
    options = ("--scores", tmp_path / "scores.csv", "--adjust", "prior", "--adjust", "transduct")
    assert "a file of scores has none" in refused(pair, *options)


def test_votes_that_cannot_be_held(refused, pair):
    assert "mean, dawid-skene" in refused(pair, "--vote", "lots")
    two = ("--clip", "phantom", "--clip", "ViT-B/32", "--vote", "dawid-skene")
    assert "three teachers or more, and there are 2" in refused(pair, *two)


def test_options_reach_the_run_as_they_are_typed(medlabel, monkeypatch, tmp_path, pair):
    asked = []
    monkeypatch.setattr("rayjobs.run.run", lambda settings, _: asked.append(settings) or exit(0))
    steps = ("--adjust", "temperature=2,em-prior", "--adjust", "prior=0.3:0.7")
    rest = ("--home", tmp_path / "kept", "--workers", 2, "--gpus-per-worker", 0.5)
    medlabel("run", pair, "--out", tmp_path, *steps, "--clip", "a", "--clip", "b", *rest)
    assert (asked[0].home, asked[0].workers, asked[0].gpus) == (tmp_path / "kept", 2, 0.5)
    assert [str(s) for s in asked[0].adjustment.steps] == [*steps[1].split(","), steps[3]]
    assert asked[0].clips == ("a", "b")
    medlabel("run", pair, "--out", tmp_path)
    assert (asked[1].adjustment, asked[1].clips) == (NO_ADJUSTMENT, ("phantom",))
    assert asked[1].home == tmp_path / "home"  # MEDLABEL_HOME


def test_scores_with_missing_ids_and_with_nan(refused, tmp_path, pair):
    scores = pd.DataFrame({"image_id": ["dark/train/0"], "dark": [1.0], "bright": [0.0]})
    scores.to_csv(tmp_path / "scores.csv", index=False)
    assert "no scores for" in refused(pair, "--scores", tmp_path / "scores.csv")


def test_an_output_folder_that_cannot_be_written(medlabel, tmp_path, pair):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "run"
    code, _, errors = medlabel("run", pair, "--out", out)
    assert code == 2
    assert errors.startswith(f"error: cannot write {out}")
    assert errors.count("\n") == 1


def test_serving_what_is_no_bundle(medlabel, tmp_path):
    code, _, errors = medlabel("serve", tmp_path)
    assert code == 2
    assert "no bundle" in errors


def test_empty_folders_are_reported(medlabel, tmp_path):
    code, _, errors = medlabel("report", tmp_path / "nope")
    assert (code, errors) == (2, f"error: {tmp_path}/nope holds no run, sweep or search\n")
    code, _, errors = medlabel("explain", tmp_path / "nope", "x.png")
    assert (code, errors.count("\n")) == (2, 1)
    assert "holds no annotations: run `medlabel annotate` first" in errors


def test_help_answers_without_heavy_imports():
    code = "import sys, medlabel.cli.app; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_models_are_listed_with_their_figures(medlabel, hub_cache):
    code, output, _ = medlabel("models", "ViT-B/32", "phantom")
    assert code == 0
    assert all(text in output for text in ("151.3 M", "8.82", "224", "512", "2.8 M", "no"))


def test_an_unknown_model_among_those_to_list(medlabel):
    code, _, errors = medlabel("models", "CLIP-9000")
    assert code == 2
    assert errors.startswith("error: unknown model 'CLIP-9000'")


def test_one_damaged_set_does_not_stop_the_others(medlabel, monkeypatch, tmp_path):
    import hashlib

    import medmnist

    good, bad = write_npz(tmp_path / "breastmnist.npz"), write_npz(tmp_path / "bloodmnist.npz")
    right = hashlib.md5(good.read_bytes()).hexdigest()
    monkeypatch.setitem(medmnist.INFO["breastmnist"], "MD5", right)
    code, output, errors = medlabel("fetch", "bloodmnist", "breastmnist", "--data-root", tmp_path)
    assert code == 2
    assert f"{bad} is damaged" in output
    assert hashlib.sha256(good.read_bytes()).hexdigest()[:6] in output
    assert errors == "error: 1 of 2 failed: bloodmnist\n"


def test_nothing_is_fetched_when_one_item_is_unknown(medlabel, tmp_path):
    code, output, errors = medlabel("fetch", "breastmnist", "kneemnist", "--data-root", tmp_path)
    assert (code, output) == (2, "")
    assert "unknown model 'kneemnist'" in errors


def test_the_version_is_an_option_and_a_command(medlabel):
    assert medlabel("--version") == medlabel("version")
    assert medlabel("--version")[1].startswith("medlabel ")


def test_an_option_has_one_help_text_and_one_default_in_every_command():
    command = typer.main.get_command(cli.app)
    found = collections.defaultdict(set)
    for name, one in command.commands.items():
        for option in one.params if name != "serve" else ():
            if option.param_type_name == "option":
                default = 28 if option.name == "size" else option.default
                found[option.name].add((option.help, default))
    own = {"out", "clip", "prune"}  # a folder or a file; one teacher or several; labels or rows
    assert {name for name, texts in found.items() if len(texts) > 1} <= own


def test_the_words_in_capitals_are_explained_at_the_end_of_the_help(medlabel):
    code, shown, _ = medlabel("run", "-h")
    assert code == 0
    assert all(word in shown for word in ("[NAME=]SOURCE[#[!]LABEL,…]", "hf-hub:", "em-prior"))
