"""A look in a user's own file: added by the command line alone, drawn and named like any other."""

from pathlib import Path

import numpy as np
import pytest

from medlabel import phantoms
from medlabel.data.tasks import open_sources, parse_task
from medlabel.errors import MedlabelError
from medlabel.phantoms import own
from medlabel.teacher.captions import captions_for
from medlabel.teacher.phantom_captions import kind_paraphrases, set_paraphrases
from medlabel.teacher.phantom_clip import PretrainingConfig, fingerprint
from medlabel.teacher.task_captions import class_captions

DOCS = Path(__file__).parents[2] / "docs"
HAND = """
from medlabel.phantoms import Kind, Look
from medlabel.phantoms.parts import soft_step


def bone(width):
    def draw(canvas):
        x, y = canvas.pose()
        return 0.2 + 0.7 * soft_step(width - abs(x)) + 0 * y
    return draw


LOOKS = [Look("hand", False, "film of a hand", (
    Kind("straight", bone(0.2), "a straight bone", "Greenspan", captions=("a straight finger",)),
    Kind("thick", bone(0.5), "a thick bone", "Greenspan"),
), captions=("an X-ray of a hand",))]
"""


@pytest.fixture
def hand(tmp_path, looks_restored):
    path = tmp_path / "hand.py"
    path.write_text(HAND)
    own.add_look_files([path, path])
    return path


def test_it_is_a_source_with_labels_and_captions(hand):
    task = parse_task("phantom:hand,thick=phantom:hand#1,straight=mine.npz#0")
    source = open_sources(task.model_copy(update={"classes": task.classes[:2]}))["phantom:hand"]
    assert len(source.splits["train"].eligible((1,))) > 100
    assert [class_captions(spec) for spec in task.classes] == [
        ("an X-ray of a hand",), ("hand, thick",), ("a straight finger",),
    ]  # fmt: skip


def test_it_decides_which_teacher_is_trained(hand):
    assert PretrainingConfig().looks == (HAND,)
    assert fingerprint(PretrainingConfig()) != fingerprint(PretrainingConfig(looks=()))


def test_the_teacher_is_told_of_it(hand):
    assert "an X-ray of a hand" in set_paraphrases("hand")[0]
    assert kind_paraphrases("hand", 0)[0] == ("a straight finger",)
    assert any("a thick bone" in text for text in kind_paraphrases("hand", 1)[2])


def test_its_name_is_its_captions(hand):
    assert captions_for("hand") == ("an X-ray of a hand",)
    assert captions_for("x", flag="hand", label=7) == ("an X-ray of a hand",)


def test_without_its_file_the_message_says_what_to_do():
    with pytest.raises(MedlabelError, match=r"'hand'.*--looks"):
        phantoms.draw("hand", 1, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("LOOKS = 1 +", "does not run: SyntaxError"),
        ("x = 1", "defines no looks"),
        ("LOOKS = [3]", "LOOKS holds int, not Look"),
        (HAND.replace('"hand", False', '"bloodmnist", False'), "'bloodmnist' is taken"),
        (HAND.replace('"hand", False', '"hand", True'), r"cannot be drawn as \[n,size,size,3\]"),
        (HAND.replace("canvas.pose()", "canvas.pause()"), "AttributeError"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(tmp_path, text, reason):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(MedlabelError, match=reason) as error:
        own.add_look_files([path])
    assert "mine.py" in str(error.value)
    assert "\n" not in str(error.value)
    assert "hand" not in phantoms.LOOKS


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MedlabelError, match="cannot read looks"):
        own.add_look_files([tmp_path / "gone.py"])


def test_the_example_of_the_how_to_page_draws():
    example = (DOCS / "phantoms/hand.py").read_text()
    assert example in (DOCS / "phantoms.md").read_text()
    (look,) = own._looks_in(example, "hand.py")
    images, kinds = phantoms.draw_look(look, 32, 0, even=True)
    assert images.reshape(32, -1).std(axis=1).min() > 10
    assert set(kinds) == {0, 1}


def test_it_draws_the_same_in_any_process(hand):
    assert np.array_equal(phantoms.draw("hand", 5, 1), phantoms.draw("hand", 9, 1)[:5])
