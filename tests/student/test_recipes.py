from dataclasses import asdict, replace

import pytest
from pydantic import ValidationError

from medlabel.errors import MedlabelError
from medlabel.student.recipes import OPTIMISERS, RECIPES, get_recipe


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return _write


def test_a_recipe_is_known_by_its_key():
    assert all(get_recipe(name) is recipe for name, recipe in RECIPES.items())
    assert all(name == recipe.name for name, recipe in RECIPES.items())


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(MedlabelError, match=r"'best'.*paper, adam, robust.*\.yaml"):
        get_recipe("best")


def test_adam_is_the_paper_with_another_optimiser():
    paper, adam = asdict(RECIPES["paper"]), asdict(RECIPES["adam"])
    assert {key for key in paper if paper[key] != adam[key]} == {"name", "optimiser"}


def test_a_yaml_changes_what_it_names_and_nothing_else(write):
    mine = get_recipe(write("base: paper\noptimiser: adamw\nlearning_rate: 1e-2\n"))
    wanted = replace(RECIPES["paper"], name="mine", optimiser="adamw", learning_rate=1e-2)
    assert mine == wanted


def test_a_yaml_without_a_base_starts_from_robust(write):
    assert get_recipe(write("self_training_rounds: 3")) == replace(
        RECIPES["robust"], name="mine", self_training_rounds=3
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epoch: 3", r"no such field epoch; there are base, name, .*epochs"),
        ("epochs: 0", r"epochs: Input should be greater than or equal to 1"),
        ("epochs: many", r"epochs: Input should be a valid integer"),
        ("loss: mae", r"loss: Input should be 'cross-entropy', 'generalised'"),
        ("optimiser: lion", r"unknown optimiser 'lion': choose from adadelta, .*sgd"),
        ("base: best", r"unknown base 'best': choose from paper, adam, robust"),
        ("- robust", r"write `base: robust` and the fields to change"),
        ("a: [", r"is not YAML"),
    ],
)
def test_a_wrong_yaml_is_told_in_one_line(write, text, reason):
    with pytest.raises(MedlabelError, match=reason) as caught:
        get_recipe(write(text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told():
    with pytest.raises(MedlabelError, match=r"cannot read recipe absent\.yaml: No such file"):
        get_recipe("absent.yaml")


def test_a_recipe_made_in_python_is_checked_too():
    with pytest.raises(ValidationError, match="batch_size"):
        replace(RECIPES["robust"], batch_size=0)


def test_an_average_of_no_epoch_is_no_recipe():
    with pytest.raises(
        ValueError, match="no epoch is left to average: `average_from_epoch` is 4 of 4"
    ):
        replace(RECIPES["robust"], epochs=4)
    for n in (10, 100, 437, 874, 5000):
        sized = RECIPES["robust"].scaled_to(n)
        assert sized.average_from_epoch < sized.epochs


def test_optimisers_are_those_that_need_no_closure():
    assert {"sgd", "adam", "adamw", "rmsprop"} <= set(OPTIMISERS)
    assert not {"lbfgs", "sparseadam", "optimizer"} & set(OPTIMISERS)


def test_words_in_a_recipe_are_named_as_they_were_typed(write):
    with pytest.raises(MedlabelError, match="unknown base 'no'"):
        get_recipe(write("base: no"))
    with pytest.raises(MedlabelError, match=r"'epochs' stands twice, in lines 1 and 2"):
        get_recipe(write("epochs: 3\nepochs: 4"))
    mine = get_recipe(write("student: 01\nbalanced: no\npatience: ~\nepochs: 0x1F"))
    assert (mine.student, mine.balanced, mine.patience, mine.epochs) == ("01", False, None, 31)
