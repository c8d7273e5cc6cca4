import hashlib

import medmnist
import pytest
from support import write_hub_file, write_npz

from medlabel.errors import MedlabelError
from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, save_clip
from medlabel.teacher.zoo import fetch as job
from medlabel.teacher.zoo.fetch import DownloadFolders, expand_items, fetch
from medlabel.teacher.zoo.weights import phantom_folder

B32 = "timm/vit_base_patch32_clip_224.openai"


@pytest.fixture
def places(tmp_path, hub_cache):
    return DownloadFolders(tmp_path / "home", tmp_path / "sets")


@pytest.fixture
def downloads(monkeypatch, places):
    """Stand-ins for the network: what each was asked for, and a file where it would put one."""
    asked = []

    def set_comes(flag, size, root):
        asked.append((flag, size))
        root.mkdir(exist_ok=True)
        write_npz(job.medmnist_file(flag, size, root))

    monkeypatch.setattr(job, "download_medmnist", set_comes)
    monkeypatch.setattr(job, "load_clip", lambda name, device: asked.append(name))
    return asked


def never():
    raise AssertionError("there was no need to train")


def publish_md5(monkeypatch, md5, key="MD5"):
    monkeypatch.setitem(medmnist.INFO["breastmnist"], key, md5)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_a_set_that_is_here_is_verified_and_not_downloaded(places, downloads, monkeypatch):
    places.data_root.mkdir()
    path = write_npz(places.data_root / "breastmnist.npz")
    publish_md5(monkeypatch, md5(path))
    checked = fetch("breastmnist", places, never)
    assert (checked.location, checked.verified_by) == (path, "MD5 stated by MedMNIST")
    assert checked.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert downloads == []


def test_a_missing_set_is_downloaded_at_its_size(places, downloads, monkeypatch, tmp_path):
    publish_md5(monkeypatch, md5(write_npz(tmp_path / "same.npz")), "MD5_64")
    checked = fetch("breastmnist", DownloadFolders(places.home, places.data_root, 64), never)
    assert checked.location.name == "breastmnist_64.npz"
    assert downloads == [("breastmnist", 64)]


def test_a_damaged_set_is_left_for_its_owner(places, downloads):
    places.data_root.mkdir()
    path = write_npz(places.data_root / "breastmnist.npz")
    with pytest.raises(MedlabelError, match=r"breastmnist\.npz is damaged: its MD5 .* delete it"):
        fetch("breastmnist", places, never)
    assert path.exists()
    assert downloads == []


def test_weights_that_are_here_are_verified_and_not_loaded(places, downloads, hub_cache):
    write_hub_file(hub_cache, B32, "open_clip_model.safetensors", b"weights")
    assert fetch("ViT-B/32", places, never).verified_by == "SHA-256 stated by the hub"
    assert downloads == []


def test_damaged_weights_are_named_before_they_are_loaded(places, downloads, hub_cache):
    blob = write_hub_file(hub_cache, B32, "open_clip_model.safetensors", b"weights")
    blob.write_bytes(b"")
    with pytest.raises(MedlabelError, match="is damaged"):
        fetch("ViT-B/32", places, never)
    assert downloads == []


def test_missing_weights_are_loaded_through_open_clip(places, hub_cache, monkeypatch):
    def comes(name, device):
        write_hub_file(hub_cache, B32, "open_clip_model.safetensors", b"weights")

    monkeypatch.setattr(job, "load_clip", comes)
    assert fetch("ViT-B/32", places, never).size == 7


def test_a_hubs_model_is_loaded_though_its_weights_are_here(places, downloads, hub_cache):
    """Its tokenizer may be missing, and a run without a network would find out too late."""
    write_hub_file(hub_cache, "someone/clip", "open_clip_model.safetensors", b"weights")
    fetch("hf-hub:someone/clip", places, never)
    assert downloads == ["hf-hub:someone/clip"]


def test_the_phantom_clip_is_trained(places, downloads):
    trained = fetch("phantom", places, lambda name: train(places))
    assert trained.location == phantom_folder(places.home)
    assert downloads == []


def train(places):
    save_clip(build_clip(PretrainingConfig()), phantom_folder(places.home))


def test_shorthands_are_spelt_out_and_nothing_is_asked_for_twice(places):
    items = expand_items(["breastmnist", "all-sets", "all-models", "phantom"], places)
    assert len(items) == 12 + 10
    assert items[0] == "breastmnist"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("kneemnist", "unknown model 'kneemnist'.*all-models, all-sets, pathmnist"),
        ("phantom:breastmnist", "nothing to fetch"),
        ("mine.npz", "nothing to fetch"),
        ("ViT-B-32", "needs its weights named"),
    ],
)
def test_unknown_items_are_refused(places, item, reason):
    with pytest.raises(MedlabelError, match=reason):
        expand_items(["breastmnist", item], places)


def test_a_size_that_medmnist_does_not_have(places):
    with pytest.raises(MedlabelError, match="size 32 is not one of 28, 64"):
        expand_items(["breastmnist"], DownloadFolders(places.home, None, 32))
