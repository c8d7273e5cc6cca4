import json

import pytest
import torch
from support import write_hub_file

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)
from medlabel.errors import MedlabelError
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, save_clip
from medlabel.teacher.zoo.facts import DEFAULT_MODELS, describe_model

import open_clip  # isort: skip

BIOMED = DEFAULT_MODELS[-1]
BIOMED_CONFIG = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"hf_model_name": "nobody/nothing", "hf_tokenizer_name": "nobody/nothing"},
    }
}


@pytest.fixture(autouse=True)
def no_weights(hub_cache):
    """Nothing is on this machine, unless a test puts it there."""


@pytest.mark.parametrize(
    ("name", "millions", "gflop", "side", "width"),
    [
        ("RN50", 102.0, 12.2, 224, 1024),
        ("ViT-B/32", 151.3, 8.82, 224, 512),
        ("ViT-L/14", 427.6, 162.0, 224, 768),
    ],
)
def test_figures_are_those_that_are_published(tmp_path, name, millions, gflop, side, width):
    facts = describe_model(name, tmp_path)
    assert facts.parameters / 1e6 == pytest.approx(millions, rel=0.01)
    assert facts.flop / 1e9 == pytest.approx(gflop, rel=0.01)
    assert (facts.image_size, facts.embedding_dim, facts.weights) == (side, width, None)


def test_attention_is_counted_to_the_last_product(tmp_path):
    """By hand, for ViT-B/32: 50 tokens of width 768, twelve layers, a multiply-add is two."""
    tokens, width, layers = 50, 768, 12
    projections = tokens * width * (3 + 1 + 4 + 4) * width
    attention = 2 * tokens * tokens * width
    patches, head = (tokens - 1) * 3 * 32 * 32 * width, width * 512
    by_hand = 2 * (layers * (projections + attention) + patches + head)
    assert describe_model("ViT-B/32", tmp_path).flop == by_hand


def test_the_list_has_ten_rows():
    assert len(DEFAULT_MODELS) == len(set(DEFAULT_MODELS)) == 10
    assert (DEFAULT_MODELS[0], BIOMED.split("/")[0]) == ("phantom", "hf-hub:microsoft")


def test_a_model_that_only_a_hub_knows_has_no_figures(tmp_path):
    facts = describe_model(BIOMED, tmp_path)
    assert (facts.parameters, facts.image_size, facts.embedding_dim, facts.flop) == (None,) * 4


def test_an_image_tower_is_measured_though_the_text_tower_is_elsewhere(hub_cache, tmp_path):
    content = json.dumps(BIOMED_CONFIG).encode()
    write_hub_file(hub_cache, BIOMED.removeprefix("hf-hub:"), "open_clip_config.json", content)
    facts = describe_model(BIOMED, tmp_path)
    assert (facts.parameters, facts.image_size, facts.embedding_dim) == (None, 32, 32)
    assert facts.flop > 0


def test_a_folder_and_a_checkpoint_by_path(tmp_path):
    model = build_clip(PretrainingConfig())
    save_clip(model, tmp_path / "mine")
    facts, phantom = (
        describe_model(str(tmp_path / "mine"), tmp_path),
        describe_model("phantom", tmp_path),
    )
    assert (facts.parameters, facts.flop) == (phantom.parameters, phantom.flop)
    assert facts.weights.location == tmp_path / "mine"


def test_a_checkpoint_in_openais_format(tmp_path):
    config = BIOMED_CONFIG["model_cfg"] | {"text_cfg": {"width": 64, "heads": 1, "layers": 1}}
    tiny = open_clip.CLIP(**config, quick_gelu=True)
    numbers = dict.fromkeys(("input_resolution", "context_length", "vocab_size"), torch.tensor(1))
    torch.save(tiny.state_dict() | numbers, tmp_path / "tiny.pt")  # as OpenAI's have
    facts = describe_model(str(tmp_path / "tiny.pt"), tmp_path)
    assert facts.parameters == sum(parameter.numel() for parameter in tiny.parameters())
    assert (facts.image_size, facts.embedding_dim) == (32, 32)


@pytest.mark.parametrize("name", ["ViT-B-16-SigLIP", "coca_ViT-B-32", "roberta-ViT-B-32"])
def test_other_families_are_measured_too(tmp_path, name):
    tag = open_clip.list_pretrained_tags_by_model(name)[0]
    assert describe_model(f"{name}:{tag}", tmp_path).flop > 8e9


@pytest.mark.parametrize("text", ["{", "[]", '{"model_cfg": {"embed_dim": 3}}'])
def test_a_folder_that_is_no_model_is_refused(tmp_path, text):
    (tmp_path / "open_clip_config.json").write_text(text)
    with pytest.raises(MedlabelError, match=r"not open_clip's configuration|cannot be built"):
        describe_model(str(tmp_path), tmp_path)
