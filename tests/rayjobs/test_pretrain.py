"""The pretraining job: trained through Ray once, then reused."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ray.train import Checkpoint, FailureConfig
from safetensors.torch import load_file

import rayjobs.pretrain as job
from medlabel import phantoms
from medlabel.errors import MedlabelError
from medlabel.teacher.phantom_clip import PretrainingConfig, fingerprint
from medlabel.teacher.phantom_store import ensure_phantom_clip, keep
from medlabel.teacher.phantom_training import Pretraining, clip_from_state

CONFIG = PretrainingConfig(steps=3, batch_size=24, phantoms_per_look=8)


class FakeProgress:
    """Stands where the actor would: no Ray in these tests."""

    def __init__(self):
        self.write = self
        self.seen = []

    def remote(self, done):
        self.seen.append(done)


def settings(drawn, checkpoint_every=1):
    return {
        "config": CONFIG, "drawn": drawn, "progress": FakeProgress(),
        "checkpoint_every": checkpoint_every,
    }  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    return {flag: phantoms.draw_look(look, 8, 0) for flag, look in phantoms.LOOKS.items()}


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Ray Train's side of the loop, without its cluster: keeps what is reported in a folder.

    A resume of a killed training is tested with Ray itself, below.
    """
    kept = []

    def report(metrics, checkpoint):
        folder = tmp_path / str(metrics["step"])
        folder.mkdir(exist_ok=True)
        with checkpoint.as_directory() as source:
            (folder / "state.pt").write_bytes((Path(source) / "state.pt").read_bytes())
        kept.append(Checkpoint.from_directory(folder))

    monkeypatch.setattr(job.ray, "get", lambda reference: reference)
    monkeypatch.setattr(job.ray.train, "report", report)
    monkeypatch.setattr(job.ray.train, "get_checkpoint", lambda: kept[-1] if kept else None)
    return kept


def finished(home: Path, config: PretrainingConfig = CONFIG) -> Path:
    """A finished folder as the job leaves it, with untrained weights."""
    folder = home / "clip" / f"phantom-{fingerprint(config)}"
    few = phantoms.draw_look(phantoms.LOOKS["breastmnist"], 8, 0)
    untrained = Pretraining(config, {"breastmnist": few}).state_dict()
    keep(folder, config, untrained)
    return folder


def test_a_whole_folder_is_reused_without_ray(tmp_path):
    folder = finished(tmp_path)
    assert job.ensure_phantom_clip(tmp_path, CONFIG) == str(folder)


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "clip").write_text("a file where a folder should be")
    with pytest.raises(MedlabelError, match="cannot keep the phantom CLIP"):
        job.ensure_phantom_clip(tmp_path, CONFIG)


def test_a_loop_killed_after_its_last_step_reports_again(worker, drawn):
    job._train_loop(settings(drawn))
    job._train_loop(settings(drawn))
    assert job._read(worker[-1])["steps_done"] == CONFIG.steps


def test_progress_is_told_while_the_block_runs(monkeypatch):
    monkeypatch.setattr(job.ray, "get", lambda reference: reference)
    told = threading.Event()

    class Tally:
        class read:
            @staticmethod
            def remote():
                return 7

    with job._watched(Tally, 9, lambda stage, done, total: told.set()):
        assert told.wait(5)


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # Ray of its own code
def test_through_ray_it_trains_once_and_is_kept(ray_cluster, tmp_path, looks_restored):
    """Of a look of the user's own too, whose file no worker has."""
    hand = Path(__file__).parents[2] / "docs/phantoms/hand.py"
    config = replace(CONFIG, looks=(hand.read_text(),))
    stages = []
    folder = job.ensure_phantom_clip(
        tmp_path, config, lambda stage, done, total: stages.append((stage, done, total))
    )
    assert stages[0][0] == "drawing"
    assert stages[0][2] == 13
    assert stages[-1] == ("training", 3, 3)
    assert sorted(path.name for path in Path(folder).iterdir()) == [
        "medlabel.json", "open_clip_config.json", "open_clip_model.safetensors",
    ]  # fmt: skip
    assert not (tmp_path / "clip" / "training" / Path(folder).name).exists()
    assert job.ensure_phantom_clip(tmp_path, config) == folder


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # Ray of its own code
def test_ray_and_this_process_train_the_same_weights(ray_cluster, tmp_path):
    by_ray = job.ensure_phantom_clip(tmp_path / "ray", CONFIG)
    here = ensure_phantom_clip(tmp_path / "here", CONFIG)
    assert Path(by_ray).name == Path(here).name
    files = sorted(path.name for path in Path(by_ray).iterdir())
    assert files == sorted(path.name for path in Path(here).iterdir())
    for name in files:
        assert (Path(by_ray) / name).read_bytes() == (Path(here) / name).read_bytes()


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # Ray of its own code
def test_a_training_that_failed_is_resumed_by_the_next_call(
    ray_cluster, tmp_path, monkeypatch, drawn, one_thread
):
    """The steps before its checkpoint are not taken again, and the weights are the same."""
    config, steps, loop = replace(CONFIG, steps=6), tmp_path / "steps", job._train_loop

    def noted(settings, last=None):
        def step(self):
            with steps.open("a") as file:
                file.write(f"{self.steps_done} ")
            if self.steps_done == last:
                raise RuntimeError("the machine is gone")
            return plain(self)

        plain, Pretraining.step = Pretraining.step, step  # of the worker's own process
        loop(settings)

    monkeypatch.setattr(job, "_train_loop", lambda settings: noted(settings, last=3))
    with monkeypatch.context() as patched:
        patched.setattr(job, "FailureConfig", lambda **_: FailureConfig(max_failures=0))
        with pytest.raises(MedlabelError, match="the machine is gone"):
            job.ensure_phantom_clip(tmp_path, config, checkpoint_every=2)
    monkeypatch.setattr(job, "_train_loop", noted)
    folder = job.ensure_phantom_clip(tmp_path, config, checkpoint_every=2)
    assert steps.read_text().split() == ["0", "1", "2", "3", "2", "3", "4", "5"]

    bare = Pretraining(config, drawn)
    while not bare.done:
        bare.step()
    trained = load_file(Path(folder) / "open_clip_model.safetensors")
    whole = clip_from_state(config, bare.state_dict()).state_dict()
    assert all(torch.equal(trained[name], value) for name, value in whole.items())
