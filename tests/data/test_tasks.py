import numpy as np
import pytest
from support import write_npz

from medlabel.data.tasks import gather_images, open_sources, parse_task, sample_cells
from medlabel.errors import MedlabelError
from medlabel.teacher.captions import NO_FINDING, captions_for, paper_captions
from medlabel.teacher.task_captions import class_captions, unknown_captions


def shorthand(text):
    return [(spec.name, spec.source, spec.labels) for spec in parse_task(text).classes]


def test_flags_name_their_classes():
    assert shorthand("chestmnist,breastmnist") == [
        ("chest", "chestmnist", None),
        ("breast", "breastmnist", None),
    ]


def test_files_with_names_and_labels():
    assert shorthand("a=x/y.npz#0,b=x/y.npz#1,2") == [
        ("a", "x/y.npz", (0,)),
        ("b", "x/y.npz", (1, 2)),
    ]


def test_a_finding_against_everything_without_it():
    sick, well = parse_task("sick=x.npz#2,well=x.npz#!2,3").classes
    assert (sick.labels, sick.without) == ((2,), None)
    assert (well.labels, well.without) == (None, (2, 3))


def test_phantoms_are_named_like_their_sets():
    assert shorthand("phantom:chestmnist,phantom:breastmnist")[0][0] == "chest"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a=x.npz,a=y.npz", "two classes are named 'a'"),
        ("chestmnist", "name two classes or more, such as"),
        ("a=x.npz#b,c=y.npz", "cannot read class"),
        ("label=x.npz,c=y.npz", "may not be named"),
        ("nothing.yaml", "cannot read task nothing.yaml"),
    ],
)
def test_what_makes_no_task_is_refused(text, reason):
    with pytest.raises(MedlabelError, match=reason):
        parse_task(text)


def test_yaml_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "t.yaml").write_text(
        "classes:\n- {name: a, source: x.npz, captions: [one, two]}\n"
        "- {name: b, source: bloodmnist}\n"
    )
    task = parse_task(str(tmp_path / "t.yaml"), size=64)
    assert (task.title, task.size) == ("t", 64)
    assert task.classes[0].source == str(tmp_path / "x.npz")
    assert class_captions(task.classes[0]) == ("one", "two")


def test_a_mistake_in_yaml_is_named(tmp_path):
    (tmp_path / "t.yaml").write_text("classes:\n- {name: a, sauce: x.npz}\n- {name: b}\n")
    with pytest.raises(MedlabelError, match=r"classes\.0\.(sauce|source)"):
        parse_task(str(tmp_path / "t.yaml"))


def test_a_class_that_no_captions_are_known_for_is_warned_of():
    task = parse_task("chesst=a.npz,breast=b.npz")
    (warning,) = unknown_captions({one.name: class_captions(one) for one in task.classes})
    assert "no captions are known for 'chesst': the teacher reads \"This is a photo" in warning
    assert unknown_captions({"chesst": ("a film",)}) == []
    finding = parse_task("sick=chestmnist#6,well=chestmnist#!6").classes
    assert unknown_captions({one.name: class_captions(one) for one in finding}) == []


def test_yaml_with_classes_that_are_none_is_refused(tmp_path):
    (tmp_path / "t.yaml").write_text("classes: 5\n")
    with pytest.raises(MedlabelError, match="classes"):
        parse_task(str(tmp_path / "t.yaml"))


def test_captions_come_from_the_table_by_name_and_finding():
    sick, set_of = parse_task("pneumonia=pneumoniamnist#1,chestmnist").classes
    assert class_captions(sick) == captions_for("pneumonia", flag="pneumoniamnist", label=1)
    assert class_captions(set_of) == captions_for("chest")
    assert class_captions(set_of, "paper") == paper_captions("chest")


def test_captions_of_several_labels_and_of_all_but_some():
    many, rest, none = parse_task(
        "many=bloodmnist#1,6,rest=bloodmnist#!1,6,none=chestmnist#!0"
    ).classes
    captions = {label: captions_for("x", flag="bloodmnist", label=label) for label in range(8)}
    assert class_captions(many) == captions[1] + captions[6]
    assert set(class_captions(rest)) == {c for k in (0, 2, 3, 4, 5, 7) for c in captions[k]}
    assert set(NO_FINDING["chestmnist"]) < set(class_captions(none))
    assert captions_for("x", flag="chestmnist", label=0)[0] not in class_captions(none)


def test_phantoms_have_the_labels_of_their_set():
    task = parse_task(
        "ill=phantom:pneumoniamnist#1,well=phantom:pneumoniamnist#0,big=phantom:chestmnist#1"
    )
    cells, truth = sample_cells(task, open_sources(task), [0], per_class=12)
    assert np.bincount(truth.unseal(cells[0].pool)).tolist() == [12, 12, 12]
    assert class_captions(task.classes[0]) == captions_for(
        "pneumonia", flag="pneumoniamnist", label=1
    )


@pytest.fixture
def sampled(dark, bright):
    task = parse_task(f"dark={dark},bright={bright}")
    sources = open_sources(task)
    return sources, sample_cells(task, sources, range(3), per_class=12)


def test_pool_and_test_are_balanced_and_apart(sampled):
    _, (cells, truth) = sampled
    for cell in cells:
        assert np.bincount(truth.unseal(cell.pool)).tolist() == [12, 12]
        assert np.bincount(truth.unseal(cell.test)).tolist() == [12, 12]
        assert {image_id.split("/")[1] for image_id in cell.pool} == {"train"}
        assert {image_id.split("/")[1] for image_id in cell.test} == {"val", "test"}


def test_truth_follows_the_image(sampled):
    sources, (cells, truth) = sampled
    levels = gather_images(sources, cells[0].pool).mean(axis=(1, 2))
    np.testing.assert_array_equal(levels > 110, truth.unseal(cells[0].pool))


def test_seeds_decide_the_sample_and_its_order_reveals_no_class(sampled, dark, bright):
    _, (cells, truth) = sampled
    task = parse_task(f"dark={dark},bright={bright}")
    again, _ = sample_cells(task, open_sources(task), range(3), per_class=12)
    assert cells == again
    assert cells[0].pool != cells[1].pool
    labels = truth.unseal(cells[0].pool)
    assert 3 < np.abs(np.diff(labels)).sum() < 21


def test_the_smallest_class_decides(dark, tmp_path):
    small = write_npz(tmp_path / "small.npz", n=8)
    task = parse_task(f"a={dark},b={small}")
    cells, _ = sample_cells(task, open_sources(task), [0])
    assert (len(cells[0].pool), len(cells[0].test)) == (16, 12)


def test_a_class_with_one_image_is_refused(dark, tmp_path):
    one = write_npz(tmp_path / "one.npz", n=40, train_labels=np.eye(40, 1, dtype=np.uint8))
    task = parse_task(f"a={dark},b={one}#1")
    with pytest.raises(MedlabelError, match="'b' has 1 training image of its own"):
        sample_cells(task, open_sources(task), [0])


def test_a_label_nobody_has_is_refused(dark, bright):
    task = parse_task(f"a={dark}#7,b={bright}")
    with pytest.raises(MedlabelError, match="label 7"):
        sample_cells(task, open_sources(task), [0])


def test_an_image_that_fits_two_classes_fits_none(dark):
    task = parse_task(f"a={dark}#0,1,b={dark}#1,2")
    sources = open_sources(task)
    cells, _ = sample_cells(task, sources, [0])
    indices = {int(image_id.rsplit("/", 1)[1]) % 3 for image_id in cells[0].pool}
    assert indices == {0, 2}


def test_a_class_without_a_label_is_drawn_from_all_others(dark):
    task = parse_task(f"a={dark}#1,b={dark}#!1")
    cells, truth = sample_cells(task, open_sources(task), [0])
    found = {int(i.rsplit("/", 1)[1]) % 3: int(truth.unseal([i])[0]) for i in cells[0].pool}
    assert found == {0: 1, 1: 0, 2: 1}


def test_a_label_to_do_without_must_exist(dark):
    task = parse_task(f"a={dark}#1,b={dark}#!7")
    with pytest.raises(MedlabelError, match="label 7"):
        sample_cells(task, open_sources(task), [0])


def test_two_files_of_one_name_are_refused(dark, tmp_path):
    (tmp_path / "sub").mkdir()
    task = parse_task(f"a={dark},b={write_npz(tmp_path / 'sub' / 'dark.npz')}")
    with pytest.raises(MedlabelError, match="both called dark"):
        open_sources(task)


def test_grey_is_repeated_beside_colour(dark, tmp_path):
    rgb = write_npz(tmp_path / "rgb.npz", colour=True)
    sources = open_sources(parse_task(f"a={dark},b={rgb}"))
    images = gather_images(sources, ["dark/train/0", "rgb/test/1"])
    assert images.shape == (2, 28, 28, 3)
    np.testing.assert_array_equal(images[0, ..., 0], images[0, ..., 2])


def test_names_in_yaml_stay_as_they_were_typed(tmp_path):
    (tmp_path / "1.10.yaml").write_text(
        "size: 64\nclasses:\n- {name: yes, source: 01.npz, labels: [1, 02], captions: [no]}\n"
        "- {name: 1.10, source: b.npz, without: [1], labels: null, captions: ~}\n"
    )
    task = parse_task(str(tmp_path / "1.10.yaml"))
    yes, number = task.classes
    assert (task.title, task.size, task.class_names) == ("1.10", 64, ("yes", "1.10"))
    assert (yes.source, yes.labels, yes.captions) == (str(tmp_path / "01.npz"), (1, 2), ("no",))
    assert (number.without, number.labels, number.captions) == ((1,), None, None)
