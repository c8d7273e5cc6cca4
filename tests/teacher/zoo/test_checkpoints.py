"""A model is built as it was trained: its activation and preprocessing, for every published tag."""

import json
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)
from medlabel.errors import MedlabelError
from medlabel.teacher.clip import Clip, load_clip
from medlabel.teacher.zoo.checkpoints import _unclear

import open_clip  # isort: skip

FIELDS = ("mean", "std", "interpolation", "resize_mode")
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


@pytest.fixture
def built(monkeypatch):
    """Settings of what open_clip would build; nothing is downloaded and nothing allocated."""

    class Stub(nn.Module):
        def __init__(self, **settings):
            super().__init__()
            self.settings = settings
            self.visual = SimpleNamespace(image_size=settings["vision_cfg"]["image_size"])

    for kind in ("CLIP", "CustomTextCLIP", "CoCa"):
        monkeypatch.setattr(open_clip.factory, kind, Stub)
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: "weights")
    monkeypatch.setattr(open_clip.factory, "load_checkpoint", lambda *_, **__: None)
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda _: None)
    return lambda name: load_clip(name, "cpu")


def preprocessing(clip: Clip):
    normalise = clip.preprocess.transforms[-1]
    framing = clip.framing
    return {
        "mean": tuple(normalise.mean), "std": tuple(normalise.std),
        "interpolation": framing.interpolation, "resize_mode": framing.mode,
    }  # fmt: skip


def published(stated):
    return {key: stated[key] for key in FIELDS}


def test_every_published_tag_has_its_own_activation_and_preprocessing(built):
    pairs = open_clip.list_pretrained()
    assert len(pairs) > 150
    quick = set()
    for architecture, tag in pairs:
        stated = open_clip.get_pretrained_cfg(architecture, tag)
        own = open_clip.get_model_config(architecture).get("quick_gelu", False)
        clip = built(f"{architecture}:{tag}")
        where = f"{architecture}:{tag}"
        assert clip.model.settings["quick_gelu"] is stated.get("quick_gelu", own), where
        assert preprocessing(clip) == published(stated), where
        quick |= {where} if clip.model.settings["quick_gelu"] else set()
        assert ("QuickGELU" in clip.architecture) == (where in quick)
    assert {"ViT-H-14:dfn5b", "ViT-B-32:laion400m_e32", "ViT-B-16:metaclip_400m"} <= quick
    assert not {"ViT-B-32:laion2b_s34b_b79k", "ViT-L-14:datacomp_xl_s13b_b90k"} & quick


@pytest.mark.parametrize(
    ("name", "quick", "remarks"),
    [
        ("ViT-B-32", False, ["openai, laion400m_e31.* write ViT-B-32-quickgelu:"]),
        ("ViT-B-32-quickgelu", True, []),
        ("ViT-B-16-SigLIP", False, []),
        ("ViT-H-14-378", False, ["dfn5b were, write ViT-H-14-378-quickgelu:"]),
    ],
)
def test_a_file_is_read_as_the_name_of_its_architecture_says(built, tmp_path, name, quick, remarks):
    path = tmp_path / "some-quickgelu.bin"  # the spelling of a path decides nothing
    path.write_bytes(b"")
    clip = built(f"{name}:{path}")
    assert clip.model.settings["quick_gelu"] is quick
    (tag, *_) = open_clip.list_pretrained_tags_by_model(name)
    assert preprocessing(clip) == published(open_clip.get_pretrained_cfg(name, tag))
    assert len(clip.remarks) == len(remarks)
    assert all(map(re.search, remarks, clip.remarks))


def test_published_weights_that_were_normalised_differently_are_said(built, tmp_path, monkeypatch):
    (tmp_path / "x.bin").write_bytes(b"")
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda _, tag: dict.fromkeys(FIELDS, tag))
    (remark, _) = reversed(built(f"ViT-B-32:{tmp_path / 'x.bin'}").remarks)
    assert "does not say how its images were normalised" in remark


def tiny(quick_gelu):
    torch.manual_seed(0)
    return open_clip.CLIP(**TINY, quick_gelu=quick_gelu)


def activations(model):
    return {type(m).__name__ for m in model.modules() if "GELU" in type(m).__name__}


def test_a_folder_is_read_by_its_configuration_whatever_it_is_called(tmp_path):
    folder = tmp_path / "my-quickgelu-model"
    folder.mkdir()
    for quick in (False, True):
        config = {"model_cfg": {**TINY, "quick_gelu": quick}, "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        torch.save(tiny(quick).state_dict(), folder / "open_clip_pytorch_model.bin")
        assert activations(load_clip(str(folder)).model) == {"QuickGELU" if quick else "GELU"}


@pytest.mark.parametrize("wrapped", [False, True])
def test_open_clips_own_format_needs_its_architecture(tmp_path, wrapped):
    path = tmp_path / "epoch_1.pt"
    weights = tiny(quick_gelu=False).state_dict()
    training = {"epoch": 1, "state_dict": {f"module.{k}": v.half() for k, v in weights.items()}}
    torch.save(training if wrapped else weights, path)
    with pytest.raises(MedlabelError, match=r"write ARCHITECTURE:.*QuickGELU, which OpenAI's"):
        load_clip(str(path))
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(MedlabelError, match=f"its folder says .*--clip {tmp_path}"):
        load_clip(str(path))


def test_the_architecture_of_a_file_is_proposed_if_its_weights_fit_one():
    with torch.device("meta"):
        shapes = open_clip.CLIP(**open_clip.get_model_config("ViT-B-32")).state_dict()
    assert "write ViT-B-32:a.pt, or ViT-B-32-quickgelu:a.pt for" in _unclear(Path("a.pt"), shapes)


def test_openais_weights_are_recognised_by_their_content(tmp_path):
    weights = tiny(quick_gelu=True).state_dict()
    extras = dict.fromkeys(("input_resolution", "context_length", "vocab_size"), torch.tensor(1))
    torch.save({**weights, **extras}, tmp_path / "openai.pt")
    assert activations(load_clip(str(tmp_path / "openai.pt")).model) == {"QuickGELU"}
    torch.save({key: value.half() for key, value in weights.items()}, tmp_path / "half.pt")
    half = load_clip(str(tmp_path / "half.pt"))
    assert activations(half.model) == {"QuickGELU"}
    assert "read as OpenAI's, with QuickGELU, because" in half.remarks[0]


def test_an_archive_of_another_program_is_not_openais(tmp_path):
    path = tmp_path / "traced.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.GELU())).save(path)
    with pytest.raises(MedlabelError, match="archive with GELU, and none of OpenAI's"):
        load_clip(str(path))
    with pytest.raises(MedlabelError, match="as OpenAI's are: give it alone"):
        load_clip(f"ViT-B-32-quickgelu:{path}")
