import pytest

from medlabel.data.tasks import parse_task
from medlabel.errors import MedlabelError
from medlabel.experiments.sweep_spec import (
    SweepSpec,
    captions_of_plan,
    check_sweep,
    plan,
    read_sweep,
    same_modality,
)
from medlabel.teacher.captions import SET_CAPTIONS, paper_captions


def titles(**fields):
    return [unit.task.title for unit in plan(SweepSpec(**fields))]


def test_all_pairs_of_the_twelve_sets_are_sixty_six():
    spec = SweepSpec(sources="medmnist")
    units = plan(spec)
    assert len(units) == 66
    assert units[0].names == {
        "task": "path-vs-chest",
        "teacher": "phantom",
        "student": "small",
        "recipe": "robust",
    }
    assert sum(same_modality(unit.task) for unit in units) == 4  # chest films; three CT planes


def test_tasks_are_combinations_and_names_and_none_comes_twice():
    sources = ["chestmnist", "breastmnist", "b=bloodmnist"]
    assert titles(sources=sources, tasks="triples") == titles(sources=sources, tasks="all")
    named = titles(sources=sources, tasks=["b,chest", "pairs", "pathmnist,octmnist", "b,chest"])
    assert named == [
        "b-vs-chest",
        "chest-vs-breast",
        "chest-vs-b",
        "breast-vs-b",
        "path-vs-oct",
    ]


def test_a_unit_is_a_task_by_a_teacher_a_recipe_and_a_student():
    units = plan(
        SweepSpec(
            sources=["chestmnist", "breastmnist"],
            teachers=["phantom", {"clip": "ViT-L/14", "captions": "paper", "adjust": "prior"}],
            recipes=["robust", "paper"],
            students=["own", "paper"],
        )
    )
    assert len(units) == 2 * (2 + 1)  # of the paper's recipe, its own student is the paper's
    assert {u.names["teacher"] for u in units} == {"phantom", "ViT-L/14, captions=paper, prior"}


def test_what_each_teacher_reads_is_known_before_the_sweep():
    sources = ["chestmnist", "pneumoniamnist", "sick=pneumoniamnist#1", "normal=own.npz"]
    teachers = ["phantom", {"clip": "phantom", "captions": "paper"}]
    spec = SweepSpec(sources=sources, tasks=["sick,normal", "chest,pneumonia"], teachers=teachers)
    found = captions_of_plan(plan(spec))
    assert list(found) == ["phantom", "phantom, captions=paper"]
    assert list(found["phantom"]) == ["sick", "normal", "chest", "pneumonia"]
    assert found["phantom"]["normal"][0] == "a chest X-ray of a healthy child"
    assert found["phantom"]["pneumonia"] == SET_CAPTIONS["pneumoniamnist"]
    assert found["phantom, captions=paper"]["sick"] == paper_captions("sick")


def test_a_class_that_reads_otherwise_in_another_task_has_an_entry_for_each():
    sources = ["sick=pneumoniamnist#1", "swollen=octmnist#1", "normal=own.npz"]
    tasks = ["sick,normal", "swollen,normal"]
    found = captions_of_plan(plan(SweepSpec(sources=sources, tasks=tasks)))["phantom"]
    assert "child" in found["normal"][0]
    assert "OCT" in found["normal (swollen-vs-normal)"][0]


def test_an_ambiguous_name_of_own_images_is_refused():
    spec = SweepSpec(sources=["chest=a.npz", "pneumonia=b.npz"])
    with pytest.raises(MedlabelError, match="pneumonia=pneumoniamnist"):
        check_sweep(spec, plan(spec))


def test_modality_is_known_by_name_or_given():
    assert same_modality(parse_task("chestmnist,phantom:pneumoniamnist"))
    assert same_modality(parse_task("sick=a.npz#0,well=a.npz#1"))
    assert not same_modality(parse_task("a.npz,b.npz"))
    assert same_modality(parse_task("a.npz,b.npz"), {"a": "X-ray", "b": "X-ray"})


def test_paths_are_read_from_the_specs_folder(tmp_path):
    (tmp_path / "mine.yaml").write_text("base: paper\nepochs: 3\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "s.yaml").write_text(
        "sources: [a=a.npz, b=b.npz]\nrecipes: mine.yaml\n"
        "tasks: [pairs, 'c=c.npz#1,d=/d.npz#0,2']\n"
        "teachers: {clip: [model, phantom], captions: 'paper,words.yaml'}\n"
    )
    first, second = plan(read_sweep(tmp_path / "s.yaml"))
    assert first.task.classes[0].source == str(tmp_path / "a.npz")
    assert [one.source for one in second.task.classes] == [str(tmp_path / "c.npz"), "/d.npz"]
    assert second.task.classes[1].labels == (0, 2)
    assert (first.recipe.name, first.recipe.epochs) == ("mine", 3)
    assert first.teacher.clip == (str(tmp_path / "model"), "phantom")
    assert first.teacher.captions == f"paper,{tmp_path / 'words.yaml'}"


def read_and_check(path):
    spec = read_sweep(path)
    check_sweep(spec, plan(spec))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sources: [a, b]\nseed: 3", "no such field seed; there are name, size, sources"),
        ("sources: [a, b]\nseeds: 0", "seeds: Input should be greater"),
        ("sources: ['a#x', b]", "sources: cannot read class 'a#x'"),
        ("sources: [a, a]", "sources: 'a' is listed twice"),
        ("sources: [a, b]\nteachers: [{captions: paper}]", "teachers.0.clip: Field required"),
        ("sources: [a, b]\nmodalities: {c: X-ray}", "modalities: no source is named 'c'"),
        ("sources: [a, b]\ntasks: triples", "tasks: triples cannot be formed from 2 sources"),
        ("sources: [a, b]\nrecipes: [none]", "unknown recipe 'none'"),
        ("sources: [a, b]\nstudents: [none]", "unknown student 'none'"),
        ("sources: [a, b]\nteachers: [{clip: phantom, adjust: magic}]", "unknown step 'magic'"),
        ("sources: [a, b]\nteachers: [{clip: phantom, captions: x}]", "unknown captions 'x'"),
        ("- a", "write at least `sources:`"),
        ("sources: [", "is not YAML"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_field(tmp_path, text, reason):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(MedlabelError) as error:
        read_and_check(path)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_names_in_a_spec_stay_as_they_were_typed(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "name: 1.10\nseeds: 3\nsources:\n- yes=a.npz\n- {name: 01, source: b.npz, labels: [2]}\n"
        "tasks: 01,yes\nmodalities: {yes: off}\nteachers: {clip: phantom, name: 1e3}\n"
    )
    spec = read_sweep(tmp_path / "s.yaml")
    assert (spec.name, spec.seeds, spec.modalities) == ("1.10", 3, {"yes": "off"})
    assert [source.name for source in spec.sources] == ["yes", "01"]
    assert (spec.sources[1].labels, spec.teachers[0].title) == ((2,), "1e3")
    assert [unit.task.title for unit in plan(spec)] == ["01-vs-yes"]
