import numpy as np
import pandas as pd
import pytest

from medlabel.errors import MedlabelError
from medlabel.teacher.zero_shot import balance, class_embeddings, read_scores, score, score_table

IDS, NAMES = ["s/train/0", "s/train/1", "s/test/0"], ("a", "b")
GOOD = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], np.float32)


def test_score_is_the_softmax_of_scaled_cosines():
    images = np.eye(2, dtype=np.float16)
    expected = np.exp(2) / (np.exp(2) + 1)
    assert score(images, np.eye(2), 2.0)[0, 0] == pytest.approx(expected, abs=1e-6)
    assert score(images, np.eye(2)).dtype == np.float32


def test_class_embeddings_are_means_of_length_one():
    def embed(captions):
        return np.eye(3, dtype=np.float32)[[len(c) for c in captions]]

    found = class_embeddings([["", "x"], ["xx"]], embed)
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5, 0], [0, 0, 1]], atol=1e-6)


def test_balance_makes_the_classes_equal_and_keeps_the_order():
    rng = np.random.default_rng(0)
    skewed = rng.beta(4, 1, 500)
    balanced = balance(np.stack([skewed, 1 - skewed], axis=1))
    np.testing.assert_allclose(balanced.mean(axis=0), 0.5, atol=1e-4)
    np.testing.assert_allclose(balanced.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(np.argsort(balanced[:, 0]), np.argsort(skewed))


def test_balance_leaves_balanced_scores_alone():
    scores = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)
    np.testing.assert_allclose(balance(scores), scores, atol=1e-5)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_scores_files_are_read_in_the_order_asked_for(tmp_path, suffix):
    frame = score_table(IDS, GOOD, NAMES)
    path = tmp_path / f"scores.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    np.testing.assert_allclose(read_scores(path, IDS[::-1], NAMES), GOOD[::-1], atol=1e-6)


def test_scores_as_a_spreadsheet_writes_them(tmp_path):
    """Semicolons, decimal commas, capitals in the ending, and ids that look like numbers."""
    path = tmp_path / "scores.CSV"
    path.write_text("sep=;\nimage_id;a;'+ve\n007;0,25;0,75\nNA;1;0\n", encoding="utf-16")
    found = read_scores(path, ["NA", "007"], ["+ve", "a"])
    np.testing.assert_array_equal(found, np.array([[0, 1], [0.75, 0.25]], np.float32))
    path.write_text("image_id;a;b\n1;x;1\n")
    with pytest.raises(MedlabelError, match="not numbers, first 'x' in line 2"):
        read_scores(path, ["1"], ["a", "b"])
    path.write_text("image_id;a;c\n1;0;1\n")
    with pytest.raises(MedlabelError, match="no column b; its columns are: image_id, a, c"):
        read_scores(path, ["1"], ["a", "b"])
    (tmp_path / "other").write_bytes(table().to_parquet())
    assert read_scores(tmp_path / "other", IDS, ["a", "b"]).shape == (3, 2)


def table(**changes):
    return pd.DataFrame({"image_id": IDS, "a": GOOD[:, 0], "b": GOOD[:, 1]} | changes)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (table().iloc[:2], "no scores for 1 of 3 images of this task, first s/test/0"),
        (table(image_id=[IDS[0], IDS[0], IDS[2]]), "1 ids are duplicated, the first is s/train/0"),
        (table(a=[0.9, np.nan, 0.5]), "NaN.*first s/train/1"),
        (table(a=[1.9, 0.2, 0.5], b=[-0.9, 0.8, 0.5]), "negative.*s/train/0"),
        (table(a=[0.3, 0.2, 0.5]), "sums to 1.*s/train/0"),
        (table(a=["x", "y", "z"]), "not numbers"),
        (table().drop(columns="b"), "no column b"),
    ],
)
def test_scores_that_cannot_be_used_are_refused(tmp_path, frame, reason):
    frame.to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(MedlabelError, match=reason):
        read_scores(tmp_path / "scores.parquet", IDS, NAMES)


def test_a_scores_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "scores.parquet").write_bytes(b"nonsense")
    with pytest.raises(MedlabelError, match="not a table of scores"):
        read_scores(tmp_path / "scores.parquet", IDS, NAMES)
    with pytest.raises(MedlabelError, match="no such file"):
        read_scores(tmp_path / "gone.parquet", IDS, NAMES)


def test_embeddings_of_captions_must_have_unit_length():
    with pytest.raises(ValueError, match="unit length"):
        class_embeddings([["a"]], lambda captions: np.array([[2.0, 0.0]], np.float32))
