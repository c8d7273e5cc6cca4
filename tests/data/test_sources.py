import zipfile

import numpy as np
import pytest
from support import write_npz

from medlabel.data.sources import MEDMNIST_FLAGS, download_medmnist, is_public, open_source
from medlabel.errors import MedlabelError


def refusal(spec, **options):
    with pytest.raises(MedlabelError) as error:
        open_source(str(spec), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_reads_a_file_in_medmnists_layout(dark):
    source = open_source(str(dark))
    assert source.name == "dark"
    assert not source.colour
    assert {name: len(split.images) for name, split in source.splits.items()} == {
        "train": 40,
        "val": 10,
        "test": 20,
    }


def test_labels_answer_one_question_only(dark):
    split = open_source(str(dark)).splits["train"]
    np.testing.assert_array_equal(split.eligible(None), np.arange(40))
    np.testing.assert_array_equal(split.eligible((1,)), np.arange(1, 40, 3))
    assert not hasattr(split, "labels")


def test_several_findings_an_image_count_by_column(tmp_path):
    labels = np.zeros((40, 14), np.uint8)
    labels[[3, 7], 2] = 1
    others = {"val_labels": labels[:10], "test_labels": labels[:20]}
    path = write_npz(tmp_path / "chest.npz", train_labels=labels, **others)
    source = open_source(str(path))
    split = source.splits["train"]
    np.testing.assert_array_equal(split.eligible((2,)), [3, 7])
    np.testing.assert_array_equal(split.eligible(None, (2,)), np.delete(np.arange(40), [3, 7]))


def test_content_hash_follows_the_pixels(dark, bright, tmp_path):
    again = write_npz(tmp_path / "copy.npz", level=60)
    hashes = [open_source(str(path)).content_hash for path in (dark, again, bright)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_phantoms_are_a_source():
    source = open_source("phantom:breastmnist")
    assert source.name == "phantom-breastmnist"
    assert source.splits["train"].images.shape == (546, 28, 28)
    assert len(np.unique(source.splits["test"].images, axis=0)) == 156


def test_an_unknown_set_is_named_with_the_known_ones():
    assert "breastmnist" in refusal("breastminst")


def test_a_misspelt_set_is_guessed():
    assert "'chestmnst' (did you mean chestmnist?)" in refusal("chestmnst")


def test_an_unknown_phantom_is_refused():
    assert "no phantom" in refusal("phantom:kneemnist")


def test_a_missing_file_is_named(tmp_path):
    assert "gone.npz: no such file" in refusal(tmp_path / "gone.npz")


def test_a_missing_set_without_network_says_what_mends_it(tmp_path, monkeypatch):
    import medmnist

    def offline(*_, **__):
        (tmp_path / "breastmnist.npz").write_bytes(b"half of it")
        raise RuntimeError("no network")

    monkeypatch.setattr(medmnist, "BreastMNIST", offline)
    message = refusal("breastmnist", data_root=tmp_path)
    assert f"medlabel fetch breastmnist --size 28 --data-root {tmp_path}" in message
    assert list(tmp_path.iterdir()) == []


def test_a_download_can_be_interrupted(tmp_path, monkeypatch):
    import medmnist

    def interrupted(*_, **__):
        try:
            raise KeyboardInterrupt
        except BaseException:  # as medmnist does
            raise RuntimeError("Automatic download failed!")  # noqa: B904  (as medmnist raises it)

    monkeypatch.setattr(medmnist, "BreastMNIST", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download_medmnist("breastmnist", 28, tmp_path)


def test_a_truncated_file_is_refused(dark):
    dark.write_bytes(dark.read_bytes()[:-2000])
    assert "damaged" in refusal(dark)


def test_a_file_damaged_within_is_refused(tmp_path):
    path = write_npz(tmp_path / "bad.npz")
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("train_images.npy").header_offset
    data = bytearray(path.read_bytes())
    data[start + 500 : start + 600] = bytes(100)
    path.write_bytes(data)
    assert "damaged" in refusal(path)


def test_pickled_objects_are_refused(tmp_path):
    objects = np.array([{"a": 1}] * 40, dtype=object)
    path = write_npz(tmp_path / "pickle.npz", train_images=objects)
    assert "pickle" in refusal(path).lower()


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        ("train_images", np.zeros((40, 28, 28), np.float32), "float32"),
        ("train_images", np.zeros((40, 28, 20), np.uint8), "square"),
        ("train_images", np.zeros((40, 64, 64), np.uint8), "--size 64"),
        ("train_images", np.zeros((40, 32, 32), np.uint8), "; resize them to 28, 64, 128 or 224"),
        ("train_labels", np.zeros((39, 1), np.uint8), "train_labels"),
        ("val_images", np.zeros((10, 28, 28, 3), np.uint8), "differ"),
        ("val_labels", np.zeros((10, 14), np.uint8), "number of labels"),
    ],
)
def test_a_foreign_layout_is_refused(tmp_path, member, value, reason):
    assert reason in refusal(write_npz(tmp_path / "odd.npz", **{member: value}))


def test_a_missing_member_is_named(tmp_path):
    np.savez(tmp_path / "half.npz", train_images=np.zeros((4, 28, 28), np.uint8))
    assert "test_labels missing" in refusal(tmp_path / "half.npz")


def test_a_single_array_is_refused(tmp_path):
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "single array" in refusal(tmp_path / "one.npz")


def test_a_size_that_no_set_has_is_refused(dark):
    assert "28, 64, 128, 224" in refusal(dark, size=30)


@pytest.mark.parametrize(
    ("spec", "public"),
    [
        *((flag, True) for flag in MEDMNIST_FLAGS),
        ("phantom:octmnist", True),
        ("breastmnist.npz", False),
        ("scans/breastmnist", False),
        ("scans/", False),
        ("my-phantom:scans", False),
        ("", False),
    ],
)
def test_medmnist_and_drawn_images_alone_are_public(spec, public):
    assert is_public(spec) is public
