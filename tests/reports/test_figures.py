from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from medlabel.reports.figures import (
    BETTER,
    NEITHER,
    WORSE,
    box_plots,
    confusion_matrices,
    curves,
    outcomes,
    random_images,
    side_by_side,
    to_png,
)

LONG = "immature granulocytes (myelocytes, metamyelocytes and promyelocytes)"


def pixels(n, *channels):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, *channels), dtype=np.uint8)


def says(*labels, k=2):
    return np.eye(k, dtype=np.float32)[list(labels)]


def history(epochs):
    steps = np.arange(epochs, dtype=float)
    return pd.DataFrame(
        {
            "epoch": np.arange(epochs),
            "train_loss": 1 / (1 + steps),
            "train_accuracy": 1 - 0.4 / (1 + steps),
            "validation_loss": 1.1 / (1 + steps),
            "validation_accuracy": 1 - 0.5 / (1 + steps),
        }
    )


def results(gains):
    frame = pd.DataFrame({"student_accuracy": 0.9 + np.array(gains), "teacher_accuracy": 0.9})
    return frame.assign(student_macro_f1=frame["student_accuracy"], teacher_macro_f1=0.9)


def frame_colours(figure):
    """Colour of the frame of each image in the grid; None where it has none."""
    spines = [axes.spines["left"] for axes in figure.axes if axes.images]
    return [to_hex(s.get_edgecolor()).upper() if s.get_visible() else None for s in spines]


def under(figure):
    return [axes.get_xlabel() for axes in figure.axes if axes.images]


def test_verdicts_tell_who_was_right():
    labels = np.array([0, 0, 0, 0])
    found = outcomes(labels, says(1, 0, 1, 0), says(0, 1, 1, 0))
    assert found.tolist() == ["fixed", "broken", "both wrong", "both right"]


def test_png_is_a_png_and_the_same_twice():
    first, second = (to_png(curves(history(4), 2)) for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == second


@pytest.mark.parametrize("channels", [(), (3,)])
def test_nine_random_images_have_their_own_labels(channels):
    images, labels = pixels(40, *channels), np.arange(40) % 2
    figure = random_images(images, labels, ("chest", "breast"), seed=3)
    shown = [(axes.images[0].get_array(), axes.get_title()) for axes in figure.axes]
    assert len(shown) == 9
    for image, title in shown:
        row = next(i for i in range(40) if np.array_equal(images[i], image))
        assert title == ("chest", "breast")[labels[row]]
    other = random_images(images, labels, ("chest", "breast"), seed=4)
    assert any(
        not np.array_equal(axes.images[0].get_array(), image)
        for axes, (image, _) in zip(other.axes, shown, strict=True)
    )


def test_fewer_images_than_asked_for_are_all_shown():
    figure = random_images(pixels(5), np.zeros(5, dtype=np.int64), ("chest", "breast"))
    assert sum(bool(axes.images) for axes in figure.axes) == 5


def test_fixed_and_broken_images_are_marked():
    labels = np.array([0, 0, 0, 0])
    figure = side_by_side(
        pixels(4), labels, says(1, 0, 1, 0), says(0, 1, 1, 0), ("chest", "breast")
    )
    assert frame_colours(figure) == [BETTER, WORSE, NEITHER, None]
    assert under(figure)[0] == "teacher: breast \u2717\nstudent: chest \u2713"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "the student fixes a wrong label",
        "the student breaks a right label",
        "both wrong",
    ]


def test_disagreements_come_first_and_a_rare_kind_is_not_lost():
    labels = np.zeros(200, dtype=np.int64)
    teacher, student = np.zeros(200, dtype=int), np.zeros(200, dtype=int)
    teacher[:60] = 1  # corrected
    student[100] = 1  # broken, once
    figure = side_by_side(
        pixels(200), labels, says(*teacher), says(*student), ("chest", "breast"), n=12
    )
    assert frame_colours(figure) == [BETTER] * 11 + [WORSE]


def test_agreements_fill_the_grid():
    labels = np.zeros(30, dtype=np.int64)
    teacher = np.zeros(30, dtype=int)
    teacher[7] = 1
    figure = side_by_side(
        pixels(30), labels, says(*teacher), says(*[0] * 30), ("chest", "breast"), n=6
    )
    assert frame_colours(figure).count(BETTER) == 1
    assert len(frame_colours(figure)) == 6


def test_curves_name_agreement_and_mark_the_kept_epoch():
    left, right = curves(history(6), best_epoch=4).axes
    assert left.get_title() == "Loss"
    assert right.get_title() == "Agreement with the pseudo-labels"
    for axes in (left, right):
        kept = next(line for line in axes.lines if line.get_label() == "epoch kept: 4")
        assert list(kept.get_xdata()) == [4, 4]


def test_curves_are_those_of_the_history():
    table = history(5)
    right = curves(table, 0).axes[1]
    lines = {line.get_label(): line.get_ydata() for line in right.lines}
    np.testing.assert_allclose(lines["train"], table["train_accuracy"])
    np.testing.assert_allclose(lines["validation"], table["validation_accuracy"])


@pytest.mark.parametrize("broken", [False, True])
def test_curves_of_one_epoch_draw(broken):
    table = history(1).assign(**({"validation_loss": np.nan} if broken else {}))
    assert to_png(curves(table, 0))


def test_box_plots_have_one_point_per_seed_and_mark_losses():
    figure = box_plots(results([0.02, 0.01, -0.03]))
    for axes in figure.axes:
        better, worse = axes.collections
        assert len(better.get_offsets()) == 2
        np.testing.assert_allclose(worse.get_offsets()[:, 1], [-3.0])
        assert len(axes.patches) == 1
    assert figure.axes[0].get_title() == "Gain in accuracy: +0.00 points, mean of 3 seeds"


@pytest.mark.parametrize("gain", [0.02, 0.0, -0.02])
def test_one_seed_is_a_point_without_a_box(gain):
    figure = box_plots(results([gain]))
    assert not figure.axes[0].patches
    assert figure.axes[0].get_title().endswith("points, one seed")
    assert to_png(figure)


def test_box_plots_show_every_point():
    for axes in box_plots(results([0.3, -0.4, 0.01, 0.0])).axes:
        low, high = axes.get_ylim()
        assert low < -40
        assert high > 30


def test_confusion_matrices_write_counts_and_row_shares():
    teacher, student = np.array([[90, 10], [25, 75]]), np.array([[100, 0], [0, 0]])
    left, right = confusion_matrices(teacher, student, ("chest", "breast")).axes
    assert [text.get_text() for text in left.texts] == [
        "90\n90.0%", "10\n10.0%", "25\n25.0%", "75\n75.0%",
    ]  # fmt: skip
    assert [text.get_text() for text in right.texts] == ["100\n100.0%"]
    assert (left.get_title(), right.get_title()) == ("Teacher", "Student")


def test_twelve_long_names_with_dollars_and_markup_draw():
    classes = (LONG, r"$\oops$", "<b>bold</b>", *(f"{LONG} {i}" for i in range(9)))
    counts = np.full((12, 12), 1234)
    scores = says(*range(12), k=12)
    labels = np.arange(12)
    assert to_png(confusion_matrices(counts, counts, classes))
    assert to_png(random_images(pixels(12), labels, classes, n=12))
    figure = side_by_side(pixels(12, 3), labels, scores, scores[::-1], classes)
    assert to_png(figure)
    assert all(len(line) <= 36 for text in under(figure) for line in text.splitlines())


def test_a_confusion_matrix_of_a_thousand_classes_is_drawn_without_names_and_numbers():
    counts = np.eye(1000, dtype=np.int64)
    figure = confusion_matrices(counts, counts, [f"class {n}" for n in range(1000)])
    assert not [text for axes in figure.axes for text in axes.texts]
    assert max(figure.get_size_inches()) < 25


def test_a_figure_that_would_have_too_many_pixels_gets_fewer_per_inch():
    figure = Figure(figsize=(1000, 0.5))
    with Image.open(BytesIO(to_png(figure))) as image:
        assert 25_000 < image.width <= 31_000
