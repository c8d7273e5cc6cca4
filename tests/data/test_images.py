import numpy as np
import pytest
from PIL import Image

import medlabel as ml
from medlabel.errors import MedlabelError


@pytest.fixture
def scans(tmp_path):
    root = tmp_path / "scans"
    root.mkdir()
    for number in range(3):
        Image.new("L", (40, 30), 50 * number).save(root / f"{number}.png")
    Image.new("RGB", (30, 30), (200, 0, 0)).save(root / "red.png")
    (root / "broken.png").write_bytes(b"no image")
    return root


def test_a_folder_is_read_and_what_cannot_be_is_listed(scans):
    images = ml.load_images(f"{scans}/")
    assert images.ids == tuple(f"scans/all/{name}.png" for name in ("0", "1", "2", "red"))
    assert images.uris[0] == str(scans / "0.png")
    assert [image.shape for image in images] == [(30, 40)] * 3 + [(30, 30, 3)]
    (uri, reason), = images.rejects.to_numpy().tolist()  # fmt: skip
    assert uri == str(scans / "broken.png")
    assert "PNG, JPEG" in reason


def test_one_file_and_a_pattern_are_read(scans):
    assert len(ml.load_images(scans / "0.png")) == 1
    assert ml.load_images(f"{scans}/[01].png").ids == ("scans/all/0.png", "scans/all/1.png")


def test_splits_of_an_npz_are_chosen(dark):
    assert len(ml.load_images(dark)) == 40 + 10 + 20
    assert ml.load_images(dark, split="test").ids[0] == "dark/test/0"


def test_a_set_of_medmnist_is_read_from_its_folder(dark, tmp_path):
    (tmp_path / "breastmnist.npz").write_bytes(dark.read_bytes())
    assert len(ml.load_images("breastmnist", split="val", data_root=tmp_path)) == 10


def test_arrays_are_taken_as_they_are():
    grey, colour = np.zeros((5, 9, 8), np.uint8), np.zeros((5, 9, 8, 3), np.uint8)
    assert np.array_equal(np.asarray(ml.load_images(grey)), grey)
    assert np.asarray(ml.load_images(colour)).shape == colour.shape
    assert np.asarray(ml.load_images(grey[..., None])).shape == grey.shape
    mixed = ml.load_images([grey[0], colour[0], np.zeros((4, 4), np.uint8)])
    assert [image.shape for image in mixed] == [(9, 8), (9, 8, 3), (4, 4)]
    with pytest.raises(ValueError, match=r"different shapes are no array: use images.squares"):
        np.asarray(mixed)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (np.zeros((2, 9, 9)), "image 0 is of dtype float64: convert its pixels to uint8"),
        (np.zeros((9, 9), np.uint8), "holds no images"),
        (np.zeros((28, 28, 3), np.uint8), "one image in colour, or grey images three pixels wide"),
        ([np.zeros((9, 9, 4), np.uint8)], r"image 0 has the shape \[9, 9, 4\]"),
        ([np.zeros((0, 9), np.uint8)], r"image 0 has the shape \[0, 9\]"),
        (["scans/"], "image 0 is of dtype"),
        (7, "holds no images"),
    ],
)
def test_what_is_no_image_is_a_value_error(source, said):
    with pytest.raises(ValueError, match=said) as caught:
        ml.load_images(source)
    assert isinstance(caught.value, MedlabelError)


def test_sources_that_are_not_there_are_one_line(scans, dark):
    with pytest.raises(MedlabelError, match="did you mean breastmnist"):
        ml.load_images("breastmnits")
    with pytest.raises(MedlabelError, match="no such file or folder"):
        ml.load_images(scans / "none" / "none.png")
    with pytest.raises(ValueError, match="unknown split 'tset'"):
        ml.load_images(dark, split="tset")
    with pytest.raises(ValueError, match="has no splits: leave `split` out"):
        ml.load_images(scans, split="test")


def test_rows_are_chosen_by_slices_masks_and_lists():
    images = ml.Images(np.arange(4, dtype=np.uint8).repeat(4).reshape(4, 2, 2))
    assert images[1:3].ids == ("1", "2")
    assert images[np.array([True, False, False, True])].ids == ("0", "3")
    assert images[[3, 0]][0].tolist() == [[3, 3], [3, 3]]
    assert images[-1].tolist() == [[3, 3], [3, 3]]


def test_squares_are_grey_if_all_images_are(scans):
    images = ml.load_images(scans)
    assert images.squares(28).shape == (4, 28, 28, 3)
    assert images[:3].squares(28).shape == (3, 28, 28)
    assert images.squares(28, 1).shape == (4, 28, 28)
    assert images[:3].squares(28)[:, 0, 0].tolist() == [0, 50, 100]
    with pytest.raises(ValueError, match="no images"):
        images[:0].squares(28)


def test_images_without_a_window_are_counted_in_one_warning(scans):
    for number in (1, 2):
        deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 100 * number
        Image.fromarray(deep).save(scans / f"deep-{number}.png")
    with pytest.warns(UserWarning, match="2 images have more than 8 bits per pixel and no window"):
        images = ml.load_images(f"{scans}/")
    np.testing.assert_array_equal(images[-3], images[-2])
