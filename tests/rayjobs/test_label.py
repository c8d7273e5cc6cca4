import numpy as np
import pytest
from PIL import Image

from medlabel.data.listing import list_parts
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.student.recipes import recipe_named
from medlabel.teacher.catalogue import catalogue
from rayjobs import label as job


def wish(tmp_path, source, **changed):
    asked = {
        "sources": (str(source),),
        "classes": ("chest", "breast"),
        "out": str(tmp_path / "out"),
    }
    asked |= {"home": tmp_path / "home", "recipe": recipe_named("adam")}
    return job.LabelConfig(**(asked | changed))


@pytest.fixture
def scans(tmp_path):
    root = tmp_path / "scans"
    root.mkdir()
    for number in range(4):
        Image.new("L", (40, 30), 50 * number).convert("RGB").save(root / f"{number}.png")
    (root / "broken.png").write_bytes(b"no image")
    return root


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"classes": ("chest",)}, "two classes or more"),
        ({"classes": ("chest", "chest")}, "two classes or more"),
        ({"captions": "none"}, "unknown captions 'none'"),
        ({"auto_above": 95}, "give a probability between 0 and 1"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused_before_the_work(tmp_path, dark, changed, said):
    with pytest.raises(MedlabelError, match=said):
        job.label_sources(wish(tmp_path, dark, **changed))
    assert not (tmp_path / "out").exists()


def test_a_folder_keeps_to_its_classes(tmp_path, dark):
    store = Store(str(tmp_path / "out"))
    job._claim(store, wish(tmp_path, dark))
    job._claim(store, wish(tmp_path, dark, auto_above=0.5))
    with pytest.raises(MedlabelError, match="differ in classes, seed"):
        job._claim(store, wish(tmp_path, dark, classes=("chest", "knee"), seed=1))


def test_a_folder_of_something_else_is_refused_and_a_wrong_source_leaves_nothing(tmp_path, dark):
    with pytest.raises(MedlabelError, match="no such file"):
        job.label_sources(wish(tmp_path, tmp_path / "gone.npz"))
    assert not (tmp_path / "out").exists()
    store = Store(str(tmp_path / "out"))
    store.write("bundle/config.json", b"{}")
    with pytest.raises(MedlabelError, match="a student already: choose another --out"):
        job.label_sources(wish(tmp_path, dark, classes=("hand", "foot")))
    store.write_json("run.json", {})
    with pytest.raises(MedlabelError, match="holds a run: choose another --out"):
        job.label_sources(wish(tmp_path, dark))


def test_a_pool_is_drawn_once_each_and_the_same_again(tmp_path, dark):
    parts = list_parts(str(dark))
    catalogues = [catalogue(part) for part in parts]
    asked = wish(tmp_path, dark, pool=30)
    rows = job._draw(catalogues, asked)
    assert sum(map(len, rows)) == 30
    assert all(len(set(mine.tolist())) == len(mine) for mine in rows)
    for mine, again in zip(rows, job._draw(catalogues, asked), strict=True):
        np.testing.assert_array_equal(mine, again)


def test_grey_images_in_colour_files_are_grey_and_broken_ones_left_out(scans):
    parts = list_parts(str(scans))
    places, images = job._look(parts, [np.arange(5)], 28)
    assert (images.shape, len(places)) == ((4, 28, 28), 4)
    assert images[:, 0, 0].tolist() == [0, 50, 100, 150]
    Image.new("RGB", (30, 30), (200, 0, 0)).save(scans / "4.png")
    (part,) = list_parts(str(scans))
    assert job._look([part], [np.arange(6)], 28)[1].shape == (5, 28, 28, 3)


def test_a_class_that_the_teacher_never_sees_is_said():
    scores = np.tile(np.array([0.9, 0.1], dtype=np.float32), (50, 1))
    with pytest.raises(MedlabelError, match="fewer than 10 images for breast"):
        job._check_pool(scores, ("chest", "breast"))
