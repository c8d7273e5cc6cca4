import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)
from medlabel import versions
from medlabel.errors import MedlabelError
from medlabel.teacher.clip import PAPER_MODELS, _shifted_views, check_clip, load_clip

import open_clip  # isort: skip
from open_clip.transform import PreprocessCfg, image_transform_v2  # isort: skip

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


def tiny(quick_gelu):
    torch.manual_seed(0)
    return open_clip.CLIP(**TINY, quick_gelu=quick_gelu)


@pytest.fixture(scope="module")
def openai_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("openai") / "tiny.pt"
    torch.save(tiny(quick_gelu=True).half().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("folder")
    (path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": TINY, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.2] * 3}})
    )
    torch.save(tiny(quick_gelu=False).state_dict(), path / "open_clip_pytorch_model.bin")
    return path


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), dtype=np.uint8)


def cosine(a, b):
    return (a * b).sum(axis=1).min()


def by_hand(clip, images):
    """open_clip used as its README says: PIL, its own transform, one image at a time."""
    config = open_clip.get_model_preprocess_cfg(clip.model)
    transform = image_transform_v2(PreprocessCfg(**config), is_train=False)
    with torch.inference_mode():
        stack = torch.stack([transform(Image.fromarray(image)) for image in images])
        return clip.model.encode_image(stack, normalize=True).numpy()


def activations(model):
    return {type(m).__name__ for m in model.modules() if "GELU" in type(m).__name__}


def test_openais_format_loads_by_path_with_quickgelu(openai_file, images):
    clip = load_clip(str(openai_file))
    assert activations(clip.model) == {"QuickGELU"}
    assert cosine(clip.embed_images(images), by_hand(clip, images)) > 0.999
    assert list(clip.preprocess.transforms[-1].mean) == list(open_clip.OPENAI_DATASET_MEAN)


def test_openais_torchscript_archive_loads_too(openai_file, tmp_path):
    class Archive(torch.nn.Module):
        def forward(self, x):
            return x

    archive = Archive()
    for key, value in torch.load(openai_file, weights_only=True).items():
        parent = archive
        *path, leaf = key.split(".")
        for part in path:
            if not hasattr(parent, part):
                parent.add_module(part, torch.nn.Module())
            parent = getattr(parent, part)
        parent.register_buffer(leaf, value)
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.script(archive).save(tmp_path / "archive.pt")
    loaded, plain = load_clip(str(tmp_path / "archive.pt")), load_clip(str(openai_file))
    assert loaded.weights_hash == plain.weights_hash


def test_an_open_clip_folder_loads_without_quickgelu(folder, images):
    clip = load_clip(str(folder))
    assert activations(clip.model) == {"GELU"}
    assert cosine(clip.embed_images(images), by_hand(clip, images)) > 0.999


def test_grey_is_colour_with_equal_channels(folder, images):
    clip, grey = load_clip(str(folder)), images[..., 0]
    repeated = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(
        clip.embed_images(grey), clip.embed_images(repeated), rtol=0, atol=1e-6
    )


def test_an_embedding_does_not_depend_on_its_company(folder, images):
    clip = load_clip(str(folder))
    together, alone = clip.embed_images(images, 4), clip.embed_images(images[4:], 4)
    np.testing.assert_array_equal(together[4:].astype(np.float16), alone.astype(np.float16))


def test_texts_are_embedded_with_length_one(folder):
    texts = load_clip(str(folder)).embed_texts(["a chest X-ray", "an unheard-of zyzzyva"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)


def test_the_key_follows_weights_and_preprocessing(folder, openai_file):
    clip = load_clip(str(folder))
    key = clip.key
    assert key == load_clip(str(folder)).key != load_clip(str(openai_file)).key
    with torch.no_grad():
        clip.model.logit_scale += 1
    assert load_clip(str(folder)).key == key


def test_the_key_does_not_depend_on_how_libraries_print_a_model(folder, monkeypatch):
    key = load_clip(str(folder)).key
    monkeypatch.setattr(torch.nn.Linear, "extra_repr", lambda self: "as a later torch prints it")
    assert load_clip(str(folder)).key == key


@pytest.mark.parametrize(
    "config",
    [
        {"model_cfg": TINY, "preprocess_cfg": {"mean": [0.4] * 3, "std": [0.2] * 3}},
        {
            "model_cfg": {**TINY, "vision_cfg": {**TINY["vision_cfg"], "head_width": 32}},
            "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.2] * 3},
        },
    ],
    ids=["normalisation", "number of attention heads"],
)
def test_the_key_follows_all_of_the_configuration(folder, tmp_path, config):
    (tmp_path / folder.name).mkdir()
    other = shutil.copytree(folder, tmp_path / folder.name, dirs_exist_ok=True)
    (other / "open_clip_config.json").write_text(json.dumps(config))
    before, after = load_clip(str(folder)), load_clip(str(other))
    assert before.weights_hash == after.weights_hash
    assert before.key != after.key


def test_the_key_follows_the_version_of_preprocessing(folder, monkeypatch):
    key = load_clip(str(folder)).key
    monkeypatch.setattr(versions, "PREPROCESSING", versions.PREPROCESSING + 1)
    assert load_clip(str(folder)).key != key


def test_the_same_weights_with_another_activation_are_another_model(openai_file, tmp_path):
    state = torch.load(openai_file, weights_only=True)
    folder = tmp_path / "tiny.pt"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": TINY, "preprocess_cfg": {}})
    )
    torch.save({k: v.float() for k, v in state.items()}, folder / "open_clip_pytorch_model.bin")
    quick, plain = load_clip(str(openai_file)), load_clip(str(folder))
    assert quick.weights_hash == plain.weights_hash
    assert quick.key != plain.key


def test_the_papers_eight_are_known_to_open_clip_with_openais_weights():
    assert len(PAPER_MODELS) == 8
    for architecture in PAPER_MODELS.values():
        assert "openai" in open_clip.list_pretrained_tags_by_model(architecture)
        assert open_clip.get_model_config(architecture)["quick_gelu"] is True


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ViT-XXL/1", "unknown model 'ViT-XXL/1': choose phantom"),
        ("ViT-B-16", "needs its weights named"),
        ("ViT-B-32:no_such_tag", "'no_such_tag' is neither a tag nor a file; write ViT-B-32:TAG"),
    ],
)
def test_models_that_are_none_are_refused(name, reason):
    with pytest.raises(MedlabelError, match=reason):
        load_clip(name)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"nonsense")
    with pytest.raises(MedlabelError, match="could not be loaded"):
        load_clip(f"ViT-B-32:{tmp_path / 'x.pt'}")
    with pytest.raises(MedlabelError, match="not a CLIP checkpoint"):
        load_clip(str(tmp_path / "x.pt"))


def test_a_batch_too_large_for_memory_is_halved_and_no_image_is_lost(folder, images, monkeypatch):
    clip = load_clip(str(folder), "cpu")
    encode, sizes = clip.model.encode_image, []

    def small_memory(pixels, **settings):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(pixels, **settings)

    expected = clip.embed_images(images)
    monkeypatch.setattr(clip.model, "encode_image", small_memory)
    np.testing.assert_allclose(clip.embed_images(images, 8), expected, atol=1e-6)
    assert sizes == [8, 4, 2, 2, 2]


def test_no_memory_for_one_image_is_said_so(folder, images, monkeypatch):
    clip = load_clip(str(folder), "cpu")

    def no_memory(pixels, **settings):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(clip.model, "encode_image", no_memory)
    with pytest.raises(MedlabelError, match="no memory for one image"):
        clip.embed_images(images, 4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_is_another_model_that_agrees(folder, images, precision):
    full, low = load_clip(str(folder), "cpu"), load_clip(str(folder), "cpu", precision)
    assert low.key == f"{full.key}-{precision}"
    embeddings = low.embed_images(images)
    assert embeddings.dtype == np.float32
    assert cosine(embeddings, full.embed_images(images)) > 0.99
    assert not np.array_equal(embeddings, full.embed_images(images))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_an_unknown_precision_is_refused(folder):
    with pytest.raises(MedlabelError, match="unknown precision 'int4'"):
        load_clip(str(folder), "cpu", "int4")


def test_views_are_the_image_and_its_four_moves():
    pixels = torch.arange(28 * 28, dtype=torch.float32).reshape(1, 1, 28, 28)
    views = list(_shifted_views(pixels))
    assert torch.equal(views[0], pixels)
    assert len(views) == 5
    assert torch.equal(views[1][..., :-1], pixels[..., 1:])
    assert torch.equal(views[1][..., -1], pixels[..., -1])
    assert torch.equal(views[4][..., 1:, :], pixels[..., :-1, :])


def test_views_change_the_embedding_a_little_and_its_key(folder):
    plain, views = load_clip(str(folder), "cpu"), load_clip(f"{folder}+views", "cpu")
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    first, second = plain.embed_images(images), views.embed_images(images)
    assert plain.key != views.key
    assert np.allclose(np.linalg.norm(second, axis=1), 1, atol=1e-5)
    assert not np.allclose(first, second, atol=1e-4)
    assert (first * second).sum(1).min() > 0.5


def test_a_name_with_views_is_checked_without_them():
    check_clip("phantom+views")
    with pytest.raises(MedlabelError, match="unknown model 'phantom-views'"):
        check_clip("phantom-views")
