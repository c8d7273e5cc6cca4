import hashlib
import json

import pytest
from support import write_hub_file

from medlabel.errors import MedlabelError
from medlabel.teacher.zoo.weights import LocalFile, find_local_weights, phantom_folder, verify_file

B32 = "timm/vit_base_patch32_clip_224.openai"


def test_weights_in_the_hubs_cache_are_found_and_have_the_expected_digest(hub_cache, tmp_path):
    blob = write_hub_file(hub_cache, B32, "open_clip_model.safetensors", b"weights")
    found = find_local_weights("ViT-B/32", tmp_path)
    assert found.path.resolve() == blob
    assert found.location == hub_cache / "models--timm--vit_base_patch32_clip_224.openai"
    checked = verify_file(found)
    assert (checked.sha256, checked.size) == (blob.name, 7)
    assert checked.verified_by == "SHA-256 stated by the hub"


def test_a_damaged_file_of_the_hub_is_named(hub_cache, tmp_path):
    blob = write_hub_file(hub_cache, B32, "open_clip_model.safetensors", b"weights")
    blob.write_bytes(b"weightz")
    with pytest.raises(MedlabelError, match=f"{blob} is damaged.*delete it and fetch it again"):
        verify_file(find_local_weights("ViT-B/32", tmp_path))


def test_an_older_format_is_found_where_there_is_no_safetensors(hub_cache, tmp_path):
    write_hub_file(hub_cache, "someone/clip", "open_clip_pytorch_model.bin", b"weights")
    assert find_local_weights("hf-hub:someone/clip", tmp_path).path.suffix == ".bin"


@pytest.mark.parametrize(
    "name", ["phantom", "ViT-L/14", "ViT-B-16:laion2b_s34b_b88k", "hf-hub:a/b"]
)
def test_what_is_not_here_is_not_found(hub_cache, tmp_path, name):
    assert find_local_weights(name, tmp_path) is None


def test_the_phantom_clip_is_checked_against_its_card(tmp_path):
    folder = phantom_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "open_clip_model.safetensors").write_bytes(b"weights")
    card = {"sha256": hashlib.sha256(b"weights").hexdigest()}
    (folder / "medlabel.json").write_text(json.dumps(card))
    assert (
        verify_file(find_local_weights("phantom", tmp_path)).verified_by
        == "SHA-256 stated by its card"
    )
    assert find_local_weights(str(folder), tmp_path).location == folder


def test_weights_given_by_path(tmp_path):
    (tmp_path / "mine.pt").write_bytes(b"weights")
    found = find_local_weights(f"ViT-B-32:{tmp_path / 'mine.pt'}", tmp_path)
    assert found == find_local_weights(str(tmp_path / "mine.pt"), tmp_path)
    assert verify_file(found).verified_by == "it loads; no digest is published"


def test_a_wrong_md5_is_seen(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"set")
    expected = hashlib.md5(b"another").hexdigest()
    with pytest.raises(MedlabelError, match=f"its MD5 is .* MedMNIST states {expected}"):
        verify_file(LocalFile(tmp_path / "a.npz", tmp_path, expected, "md5", "MedMNIST"))


def test_a_name_that_no_hub_takes_is_refused(tmp_path):
    with pytest.raises(MedlabelError, match="hf-hub:a/b/c: Repo id"):
        find_local_weights("hf-hub:a/b/c", tmp_path)
