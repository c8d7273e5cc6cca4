"""How phantom CLIPs are kept, and trained without Ray."""

from pathlib import Path

import pytest
import torch

from medlabel import phantoms
from medlabel.errors import MedlabelError
from medlabel.teacher import phantom_store
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, fingerprint, save_clip
from medlabel.teacher.phantom_store import (
    ensure_phantom_clip,
    is_whole,
    keep,
    local_name,
    training_folder,
)
from medlabel.teacher.phantom_training import Pretraining

CONFIG = PretrainingConfig(steps=3, batch_size=24, phantoms_per_look=8)


def finished(home: Path, config: PretrainingConfig = CONFIG) -> Path:
    """A finished folder, with untrained weights."""
    folder = home / "clip" / f"phantom-{fingerprint(config)}"
    few = phantoms.draw_look(phantoms.LOOKS["breastmnist"], 8, 0)
    keep(folder, config, Pretraining(config, {"breastmnist": few}).state_dict())
    return folder


def test_a_damaged_folder_is_not_whole(tmp_path):
    folder = finished(tmp_path)
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not is_whole(folder)


def test_a_folder_without_a_card_is_not_whole(tmp_path):
    save_clip(build_clip(CONFIG), tmp_path)
    assert not is_whole(tmp_path)


def test_what_a_killed_driver_left_is_cleared_away(tmp_path):
    left = tmp_path / "clip" / f"phantom-{fingerprint(CONFIG)}.partial" / "half"
    left.mkdir(parents=True)
    assert is_whole(finished(tmp_path))
    assert not left.exists()


def test_it_is_trained_once_and_found_by_its_name_again(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom_store, "pretraining_named", lambda name: CONFIG)
    stages = []
    folder = local_name("phantom+views", tmp_path, lambda *stage: stages.append(stage))
    assert stages[0][:2] == ("drawing", 1)
    assert stages[-1] == ("training", 3, 3)
    assert is_whole(Path(folder.removesuffix("+views")))
    del stages[:]
    assert local_name("phantom+views", tmp_path, lambda *stage: stages.append(stage)) == folder
    assert stages == []
    assert local_name("ViT-L/14", tmp_path) == "ViT-L/14"


def test_a_training_that_was_interrupted_continues(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom_store, "_CHECKPOINT_EVERY", 1)
    whole = Path(ensure_phantom_clip(tmp_path / "whole", CONFIG))

    def interrupt(stage, done, total):
        if (stage, done) == ("training", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_phantom_clip(tmp_path / "home", CONFIG, interrupt)
    steps = []
    folder = ensure_phantom_clip(
        tmp_path / "home", CONFIG, lambda stage, done, _: steps.append((stage, done))
    )
    assert [done for stage, done in steps if stage == "training"] == [2, 3]
    weights = "open_clip_model.safetensors"
    assert (Path(folder) / weights).read_bytes() == (whole / weights).read_bytes()
    assert not training_folder(Path(folder)).exists()


def test_the_number_of_threads_is_restored(tmp_path):
    threads = torch.get_num_threads()
    ensure_phantom_clip(tmp_path, CONFIG)
    assert torch.get_num_threads() == threads


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "clip").write_text("a file where a folder should be")
    with pytest.raises(MedlabelError, match="cannot keep the phantom CLIP"):
        ensure_phantom_clip(tmp_path, CONFIG)
