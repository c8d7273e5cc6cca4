import warnings

import numpy as np
import pytest

import medlabel as ml
from medlabel import phantoms
from medlabel.data.framing import CentreSquare
from medlabel.errors import MedlabelError
from medlabel.teacher.captions import NO_FINDING, paper_captions


@pytest.fixture(scope="module")
def teacher(small_teacher):
    return ml.Teacher.from_pretrained("phantom", home=small_teacher, device="cpu")


@pytest.fixture(scope="module")
def images():
    drawn = [*phantoms.draw("chestmnist", 20, 7), *phantoms.draw("breastmnist", 20, 7)]
    return ml.load_images(drawn)


def test_scores_are_a_frame_of_probabilities_by_class_and_image(teacher, images):
    proba = teacher.predict_proba(images, ["chest", "breast"])
    assert proba.shape == (40, 2)
    assert set(proba.dtypes) == {np.dtype(np.float32)}
    assert list(proba.columns) == ["chest", "breast"]
    assert list(proba.index) == list(images.ids)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert (proba["chest"][:20] > 0.5).mean() > 0.8
    assert (proba["breast"][20:] > 0.5).mean() > 0.8


def test_an_embedding_does_not_depend_on_the_other_images(teacher, images):
    large = [CentreSquare(50, 3)(image) for image in images[:3]]
    mixed = teacher.embed([*large, *images[:5]])
    alone = teacher.embed(images[:5])
    assert np.array_equal(mixed[3:], alone)


def test_captions_are_chosen(teacher, images):
    own = {"chest": ["a chest X-ray"], "breast": ["an ultrasound of the breast"]}
    by_own = teacher.predict_proba(images[:4], ["chest", "breast"], captions=own)
    by_set = teacher.predict_proba(images[:4], ["chest", "breast"], captions="templates,paper")
    assert not np.array_equal(by_own, by_set)
    assert by_own.attrs["teacher"]["captions"] == [tuple(texts) for texts in own.values()]
    assert by_set.attrs["teacher"]["captions"][0][-1] == paper_captions("chest")[0]


def test_a_name_without_captions_is_warned_of(teacher, images):
    with (
        pytest.warns(UserWarning, match=r"no captions are known for 'zebra'.*captions=\{'NAME'"),
        pytest.warns(UserWarning, match='the phantom teacher has never learned the word "zebra"'),
    ):
        teacher.predict_proba(images[:1], ["chest", "zebra"])
    with pytest.warns(UserWarning, match="never learned") as found:
        teacher.predict_proba(images[:1], ["chest", "zebra"], captions="paper")
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ml.Teacher(teacher.clip, "ViT-L/14").read_captions(["chest", "zebra"], captions="paper")


def test_what_is_read_can_be_seen_before_images_are_scored(teacher, images, caplog):
    read = teacher.read_captions(["pneumonia", "Normal = no finding"])
    assert list(read) == ["pneumonia", "Normal"]
    assert read["Normal"][0] == NO_FINDING["chestmnist"][0]
    caplog.set_level("INFO", logger="medlabel.teacher")
    proba = teacher.predict_proba(images[:1], ["pneumonia", "Normal = no finding"])
    assert list(proba.columns) == ["pneumonia", "Normal"]
    assert proba.attrs["teacher"]["captions"] == list(read.values())
    assert "pneumonia: a chest X-ray showing pneumonia" in caplog.text


@pytest.mark.parametrize(
    ("classes", "captions", "said"),
    [
        (["chest"], "table", "two classes or more"),
        (["chest", "chest"], "table", "each once"),
        (["chest", "CXR"], "table", "'chest' and 'CXR' mean the same"),
        (["chest", "pneumonia"], "table", "pneumonia=pneumoniamnist .* pneumonia=chestmnist#6"),
        (["chest", "=a"], "table", "NAME=MEANING"),
        (["chest", "breast"], {"chest": ["a"]}, "no captions for 'breast'"),
        (["chest", "breast"], {"chest": "a", "breast": "b"}, "no captions as lists"),
        (["chest", "breast"], "tabel", "unknown captions 'tabel'"),
    ],
)
def test_classes_and_captions_that_cannot_be_used(teacher, images, classes, captions, said):
    with pytest.raises(MedlabelError, match=said):
        teacher.predict_proba(images, classes, captions=captions)


def test_images_that_cannot_be_embedded_are_named(teacher):
    with pytest.raises(ValueError, match="image 1: 1x100 pixels: too long and thin"):
        teacher.embed([np.zeros((9, 9), np.uint8), np.zeros((100, 1), np.uint8)])
    with pytest.raises(ValueError, match="no images to embed"):
        teacher.embed([])


def test_an_unknown_model_is_refused_at_once(tmp_path):
    with pytest.raises(MedlabelError, match="unknown model 'phantm'"):
        ml.Teacher.from_pretrained("phantm", home=tmp_path)


def test_a_missing_phantom_is_trained_with_a_bar(tmp_path, monkeypatch, capsys):
    from medlabel.teacher import phantom_store
    from medlabel.teacher.phantom_clip import PretrainingConfig

    config = PretrainingConfig(steps=1, batch_size=24, phantoms_per_look=8)
    monkeypatch.setattr(phantom_store, "pretraining_named", lambda name: config)
    teacher = ml.Teacher.from_pretrained("phantom", home=tmp_path)
    assert repr(teacher) == f"Teacher('phantom', device={teacher.clip.device!r})"
    assert "training the phantom teacher" in capsys.readouterr().err
