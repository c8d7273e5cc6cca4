"""Real images, where they are at hand: the teacher that never saw one, and the paper's protocol."""

from pathlib import Path

import numpy as np
import pytest
import torch

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)
from medlabel.data.sources import open_source
from medlabel.data.tasks import gather_images, parse_task, source_image
from medlabel.storage.store import Store
from medlabel.student.recipes import RECIPES
from medlabel.teacher.clip import load_clip
from medlabel.teacher.embeddings import EmbeddingTable
from rayjobs.embed import embed_sampled
from rayjobs.run import RunConfig, run

import open_clip  # isort: skip
from open_clip.transform import PreprocessCfg, image_transform_v2  # isort: skip
from PIL import Image  # isort: skip

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_the_loop_labels_real_images_from_phantoms_alone(real: Path, tmp_path):
    task = parse_task(f"chest={real / 'chestmnist-nih1000.npz'},breast={real / 'breastmnist.npz'}")
    settings = RunConfig(
        task,
        str(tmp_path / "run"),
        RECIPES["robust"],
        tmp_path,
        seeds=1,
        ceiling_seeds=0,
    )
    outcome = run(settings)
    assert outcome.results["n_pool"].tolist() == [1092]
    assert outcome.results["n_test"].tolist() == [468]
    assert outcome.results["teacher_accuracy"].min() > 0.95
    assert outcome.results["student_accuracy"].min() > 0.97


def test_a_vit_b_32_in_openais_format_agrees_with_open_clip_used_by_hand(real: Path, tmp_path):
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32-quickgelu").eval()
    numbers = dict.fromkeys(("input_resolution", "context_length", "vocab_size"), torch.tensor(1))
    torch.save(model.state_dict() | numbers, tmp_path / "ViT-B-32.pt")  # as OpenAI's have
    clip = load_clip(str(tmp_path / "ViT-B-32.pt"), "cpu")
    path = str(real / "bloodmnist-pbc6000.npz")
    sources = {path: open_source(path)}
    ids = [f"bloodmnist-pbc6000/test/{i}" for i in range(12)]
    table = EmbeddingTable(Store(str(tmp_path / "embeddings")), clip.key)
    drawn = {image_id: source_image(sources, image_id) for image_id in ids}
    embeddings, encoded = embed_sampled(clip, drawn, table)
    assert encoded == 12
    transform = image_transform_v2(PreprocessCfg(size=224), is_train=False)
    stack = [transform(Image.fromarray(image)) for image in gather_images(sources, ids)]
    with torch.inference_mode():
        by_hand = model.encode_image(torch.stack(stack), normalize=True).numpy()
    cosines = (by_hand * embeddings.astype(np.float32)).sum(axis=1)
    assert cosines.min() >= 0.999
    assert {type(m).__name__ for m in clip.model.modules() if "GELU" in type(m).__name__} == {
        "QuickGELU"
    }
