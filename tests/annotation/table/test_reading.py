import numpy as np
import pytest
from PIL import Image
from support import write_npz
from support_annotations import grey_folder

from benchmarks.local_annotation import SMALL, brightness
from medlabel.annotation.table import Layout, Listing, cut_work, label_pieces, read_pieces
from medlabel.data.framing import CentreSquare
from medlabel.data.listing import list_parts
from medlabel.storage.digests import digest_bytes


@pytest.fixture
def folder(tmp_path):
    return grey_folder(tmp_path / "scans")


def work_of(path, rows=None, labelled=()):
    """All images of a source as work, or some rows; `labelled` are contents by row."""
    listing = Listing.of(list_parts(str(path)))
    missing = np.zeros(len(listing.addresses), dtype=bool)
    missing[slice(None) if rows is None else rows] = True
    previous = np.zeros(len(missing), dtype="S16")
    for row, content in dict(labelled).items():
        previous[row] = digest_bytes(content)
    return cut_work(listing, missing, previous, SMALL)


def pieces_of(path, rows=None, labelled=()):
    return [piece for work in work_of(path, rows, labelled) for piece in read_pieces(work, SMALL)]


def test_a_broken_image_is_a_black_one_with_a_reason(folder):
    first, second = pieces_of(folder)
    assert (first.images.shape, second.images.shape) == ((4, 28, 28), (2, 28, 28))
    assert [reason is None for reason in first.reasons] == [True, True, False, True]
    assert first.kept.tolist() == [True, True, False, True]
    assert (first.images[2].max(), first.images[3].max()) == (0, 120)
    assert first.addresses[2] == f"{folder}/2.png"
    assert (first.start, second.start, second.places.tolist()) == (0, 4, [0, 1])


def test_some_images_are_read_in_order_each_at_a_place_of_its_own(folder):
    (piece,) = pieces_of(folder, [1, 3, 5])
    assert piece.addresses == tuple(f"{folder}/{number}.png" for number in (1, 3, 5))
    assert (piece.start, piece.places.tolist()) == (1, [0, 1, 2])
    assert [int(image.max()) for image in piece.images] == [40, 120, 200]


def test_an_image_with_the_same_content_as_when_it_was_labelled_is_not_labelled_again(folder):
    same, other = (folder / "1.png").read_bytes(), (folder / "0.png").read_bytes()
    (piece,) = pieces_of(folder, [1, 3], {1: same, 3: other})
    assert (piece.unchanged.tolist(), piece.kept.tolist()) == ([True, False], [False, True])
    assert piece.images[0].max() == 0


def test_a_label_does_not_depend_on_what_else_is_read():
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    seen = []

    def student(batch, chroma):
        seen.append(len(batch))
        return brightness(batch)

    found = label_pieces(images, np.zeros(6, np.float32), student, 4)
    assert seen == [4, 4]
    np.testing.assert_array_equal(found.probabilities, brightness(images).probabilities)


@pytest.mark.parametrize(("wanted", "batches"), [([5], 1), ([0, 5], 2), ([], 1)])
def test_batches_in_which_nothing_is_to_be_labelled_are_left_out(wanted, batches):
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    mask, seen = np.isin(np.arange(6), wanted), []

    def student(batch, chroma):
        seen.append(batch)
        return brightness(batch)

    found = label_pieces(images, np.zeros(6, np.float32), student, 4, mask)
    assert (len(seen), len(found.probabilities)) == (batches, 6)
    expected = brightness(images).probabilities[mask]
    np.testing.assert_array_equal(found[mask].probabilities, expected)


def test_some_pieces_of_an_npz_are_those_of_all(tmp_path):
    path = write_npz(tmp_path / "a.npz", n=10)
    whole = pieces_of(path)
    assert [len(piece.images) for piece in whole[:3]] == [4, 4, 2]
    (some,) = pieces_of(path, [8, 9])
    np.testing.assert_array_equal(some.images, whole[2].images)
    assert (some.start, some.addresses) == (8, whole[2].addresses)


@pytest.mark.parametrize(
    ("size", "channels", "rows", "batch", "files"),
    [
        (28, 1, 8192, 256, 512),
        (64, 3, 5376, 256, 512),
        (224, 3, 256, 256, 256),
        (2000, 3, 32, 32, 32),
    ],
)
def test_pieces_are_as_large_as_memory_allows(size, channels, rows, batch, files):
    layout = Layout.of(CentreSquare(size, channels))
    assert (layout.rows, layout.batch, layout.files) == (rows, batch, files)


def test_a_row_says_that_its_image_has_no_window(folder):
    deep = np.arange(100, dtype=np.uint16).reshape(10, 10) * 9
    Image.fromarray(deep).save(folder / "deep.png")
    found = {
        address: bool(own_range)
        for piece in pieces_of(folder)
        for address, own_range in zip(piece.addresses, piece.own_range, strict=True)
    }
    assert [address for address, own_range in found.items() if own_range] == [f"{folder}/deep.png"]
