"""The captions of a task's classes, and what is shown of them."""

import pytest

from medlabel.data.tasks import parse_task
from medlabel.errors import MedlabelError
from medlabel.teacher.caption_sets import DESCRIPTIONS, TEMPLATES
from medlabel.teacher.captions import NO_FINDING, SET_CAPTIONS, captions_for, paper_captions
from medlabel.teacher.task_captions import (
    caption_lines,
    captions_by_names,
    captions_of_task,
    class_captions,
    unknown_captions,
    unlearned_captions,
    warnings_about,
)


def of_task(text: str, sets: str = "table") -> list[tuple[str, ...]]:
    return captions_of_task(parse_task(text).classes, sets)


@pytest.mark.parametrize(
    "text",
    [
        "chestmnist,pneumoniamnist", "chest=chestmnist-nih.npz,pneumonia=pneumoniamnist.npz",
        "normal=pneumoniamnist#0,pneumonia=pneumoniamnist#1", "a=chestmnist#2,b=chestmnist#!2",
        "pneumonia=phantom:pneumoniamnist,breast=b.npz,zebra=z.npz",
    ],
)  # fmt: skip
@pytest.mark.parametrize("sets", ["table", "paper", "templates", "descriptions"])
def test_the_names_of_a_run_are_its_sources_and_never_ambiguous(text, sets):
    task = parse_task(text)
    assert of_task(text, sets) == [class_captions(spec, sets) for spec in task.classes]


def test_a_class_of_own_images_is_known_by_its_name_and_the_others():
    assert of_task("pneumonia=a.npz,normal=b.npz")[1][0] == NO_FINDING["chestmnist"][0]
    _, normal = of_task("sick=pneumoniamnist#1,normal=b.npz")
    assert normal == captions_for("normal", flag="pneumoniamnist", label=0)
    with pytest.raises(MedlabelError, match=r"pneumonia=chestmnist#6.*`captions:` in its file"):
        of_task("chest=a.npz,pneumonia=b.npz")
    assert of_task("chest=a.npz,pneumonia=b.npz", "paper") == [
        paper_captions("chest"), paper_captions("pneumonia"),
    ]  # fmt: skip


def test_classes_whose_captions_are_given_or_whose_source_decides_may_be_alike():
    alike = of_task("a=chestmnist#1,b=phantom:chestmnist#1,knee=k.npz")
    assert alike[0] == alike[1]


def test_every_caption_set_reads_the_meaning():
    names = ["pneumonia", "no finding", "knee"]
    described = captions_by_names(["CXR", "skin"], "descriptions")
    assert described == {"CXR": DESCRIPTIONS["chestmnist"], "skin": DESCRIPTIONS["dermamnist"]}
    filled = captions_by_names(names, "templates")
    assert filled["knee"][0] == TEMPLATES[0].format(name="knee")
    assert TEMPLATES[0].format(name="a healthy adult chest") == filled["no finding"][0]
    assert captions_by_names(names, "paper")["pneumonia"] == paper_captions("pneumonia")
    assert captions_by_names(["chest", "pneumonia"], "paper")  # one caption, whatever it means


def test_a_user_s_own_captions_need_no_meaning(tmp_path):
    (tmp_path / "mine.yaml").write_text("chest: [a film]\npneumonia: [a sick film]\n")
    found = captions_by_names(["chest", "pneumonia"], str(tmp_path / "mine.yaml"))
    assert found == {"chest": ("a film",), "pneumonia": ("a sick film",)}


def test_a_name_twice_is_refused():
    with pytest.raises(MedlabelError, match="each class once"):
        captions_by_names(["chest", "chest=breast"])


def test_a_line_per_class_shows_what_is_read():
    lines = caption_lines(captions_by_names(["pneumonia", "normal"]))
    assert [line.partition(":")[0] for line in lines] == ["pneumonia", "normal"]
    assert lines[0].startswith("pneumonia: a chest X-ray showing pneumonia | an adult chest")
    assert lines[0].endswith("(and 1 more)")


def test_warnings_name_what_is_unknown_and_what_was_never_learned():
    captions = captions_by_names(["knee", "rash", "no rash", "chest"])
    (warning,) = unknown_captions(captions, "describe it")
    assert "'rash': the teacher reads 'a medical image showing rash'" in warning
    assert warning.endswith("describe it")
    unlearned = unlearned_captions(captions)
    assert [text.split("images of ")[1].split(" by")[0] for text in unlearned] == [
        "'knee'", "'rash'", "'no rash'",
    ]  # fmt: skip
    assert 'never learned the words "mri", "knee", "magnetic"' in unlearned[0]
    assert unlearned_captions({"1": paper_captions("1"), "chest": SET_CAPTIONS["chestmnist"]}) == [
        "the phantom teacher has never learned such a name: it finds images of '1' by elimination "
        "at best. Choose a teacher that knows such images (--clip), or describe them in words that "
        "it has learned"
    ]


def test_captions_that_are_not_read_are_warned_of(tmp_path):
    (tmp_path / "t.yaml").write_text(
        "classes:\n- {name: knee, source: a.npz, captions: [a bent joint]}\n"
        "- {name: hip, source: b.npz}\n"
    )
    classes = parse_task(str(tmp_path / "t.yaml")).classes

    def said(sets):
        read = dict(zip(("knee", "hip"), captions_of_task(classes, sets), strict=True))
        return warnings_about(read, classes, sets, ["RN50"])

    def said_of(named, sets):
        return warnings_about(captions_by_names(named, sets), named, sets, ["RN50"])

    assert said("table,templates") == []
    (dropped,) = said("templates")
    assert "'a bent joint' is not read for 'knee', because --captions" in dropped
    named = ["well=a healthy knee", "chest"]
    assert said_of(named, "table,templates") == []
    assert "'a healthy knee' is not read for 'well'" in said_of(named, "templates")[0]
    mine = tmp_path / "mine.yaml"
    mine.write_text("hipp: [a joint]\nknee: [a bent joint]\ntemplates: ['a film of {name}']\n")
    assert "has captions for 'hipp', which is no class, and none for 'hip'" in said(str(mine))[0]
    mine.write_text("Knee: [a bent joint]\ntemplates: ['a film of {name}']\n")
    with pytest.raises(MedlabelError, match=r"captions for 'Knee': write it as the class, 'knee'"):
        said(str(mine))
