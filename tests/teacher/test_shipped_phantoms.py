from importlib.resources import files

import numpy as np
import pytest
import torch

from medlabel.teacher.phantom_clip import PretrainingConfig, fingerprint
from medlabel.teacher.phantom_store import ensure_trained
from medlabel.teacher.phantom_training import clip_from_state, learned_tokens
from medlabel.teacher.shipped_phantoms import SHIPPED_SEEDS, shipped_state, write_shipped

FOLDER = files("medlabel.teacher") / "phantom_weights"


@pytest.mark.parametrize("seed", SHIPPED_SEEDS)
def test_each_shipped_model_is_one_that_its_config_would_make(seed):
    # a changed caption, look or setting gives another fingerprint: run tools/ship_phantoms.py
    config = PretrainingConfig(seed=seed, looks=())
    state = shipped_state(config)
    assert state is not None
    np.testing.assert_array_equal(state["words"], learned_tokens(config))
    embedding = clip_from_state(config, state).token_embedding.weight
    torch.testing.assert_close(
        embedding[state["words"]], state["model"]["token_embedding.weight"], rtol=0, atol=0
    )


def test_nothing_else_is_shipped():
    names = {f"phantom-{fingerprint(PretrainingConfig(seed=s, looks=()))}" for s in SHIPPED_SEEDS}
    found = {path.name.removesuffix(".safetensors") for path in FOLDER.iterdir()}
    assert found == names


def test_a_shipped_model_is_unpacked_and_not_trained(tmp_path):
    def train(*_):
        raise AssertionError("it is in the package")

    folder = ensure_trained(tmp_path, PretrainingConfig(looks=()), train, lambda *_: None)
    assert (tmp_path / "clip").samefile(folder.rsplit("/", 1)[0])


@pytest.mark.parametrize(
    "config", [PretrainingConfig(seed=3, looks=()), PretrainingConfig(left_out=("octmnist",))]
)
def test_other_models_are_not_shipped(config):
    assert shipped_state(config) is None


def test_a_written_state_is_read_again(tmp_path):
    state = {"words": torch.tensor([0, 5]), "model": {"a.b": torch.ones(2, 3)}}
    path = write_shipped(tmp_path, PretrainingConfig(seed=5), state, {"licence": "Apache-2.0"})
    assert path.parent == tmp_path
    assert path.name.endswith(".safetensors")
