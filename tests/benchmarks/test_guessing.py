"""The situations in which verdicts are tried, and the table that is made of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmarks.guessing import measure
from benchmarks.guessing.classes import PER_TASK, Group
from benchmarks.guessing.images import gather
from benchmarks.guessing.situations import all_situations
from benchmarks.guessing.table import judged, read_rows, targets, to_situations
from benchmarks.unseen_looks import UNSEEN
from medlabel.evaluation.evidence.signals import ENSEMBLE_SIGNALS, SIGNALS
from medlabel.phantoms import LOOKS
from medlabel.teacher.captions import CLASS_NAMES

EXTRAS = ["brain_mr_axial", "head_ct_axial", "photos", "digits", "brain_mr_sagittal", "space"]


@pytest.fixture(scope="module")
def situations():
    return all_situations()


@pytest.mark.parametrize("extras", [[], EXTRAS])
def test_there_are_enough_situations_of_unique_names(extras):
    names = [one.name for one in all_situations(extras)]
    assert len(names) == len(set(names)) >= 200


def test_further_images_add_situations(situations):
    more = {one.name for one in all_situations(EXTRAS)} - {one.name for one in situations}
    assert len(more) > len(EXTRAS)
    assert {one.name for one in situations} < {one.name for one in all_situations(EXTRAS)}


def test_a_situation_has_classes_of_distinct_names_and_images(situations):
    for one in situations:
        names = [each.name for each in one.classes]
        assert len(set(names)) == len(names) >= 2, one.name
        assert one.foreign or any(each.groups and each.share for each in one.classes), one.name
        assert 0 <= one.foreign_share <= 1
        assert bool(one.foreign) == (one.foreign_share > 0), one.name


def test_images_are_of_sets_that_there_are(situations):
    for one in situations:
        for group in [*one.foreign, *(group for each in one.classes for group in each.groups)]:
            where, _, what = group.images.partition(":")
            known = {"real": LOOKS, "drawn": LOOKS, "unseen": UNSEEN}[where]
            assert what in known, one.name


def test_every_row_has_a_file_of_its_own(situations, tmp_path):
    assert len({measure.row_file(tmp_path, one) for one in situations}) == len(situations)


def test_what_is_left_out_exists_and_is_asked_about(situations):
    without = [one for one in situations if one.left_out]
    assert without
    for one in without:
        for entry in one.left_out:
            flag, _, label = entry.partition("#")
            assert flag in LOOKS, one.name
            assert not label or int(label) < len(CLASS_NAMES[flag]), one.name
        flags = {entry.partition("#")[0] for entry in one.left_out}
        groups = [*one.foreign, *(group for each in one.classes for group in each.groups)]
        assert flags & {group.images.partition(":")[2] for group in groups}, one.name


def test_each_teacher_that_is_asked_is_trained_once(situations):
    configs = measure.trainings(situations)
    made = {(config.left_out, config.seed) for config in configs}
    assert len(made) == len(configs)
    assert made == {(one.left_out, seed) for one in situations for seed in one.seeds}


def test_a_teacher_is_asked_in_the_world_that_it_was_trained_in(monkeypatch, tmp_path):
    left_out = ("octmnist", "breastmnist#0")
    monkeypatch.setattr(measure, "ensure_phantom_clip", lambda _, config: config)
    monkeypatch.setattr(measure, "load_clip", lambda config, _: SimpleNamespace(config=config))
    monkeypatch.setattr(measure, "world_of", lambda clip, without: (clip.config, without))
    witness = measure._witness.__wrapped__(tmp_path, left_out, 4)
    config, without = witness.world
    assert config.left_out == without == left_out
    assert config.seed == 4


# --- Images --------------------------------------------------------------------------------------


def of_kind(situations, kind):
    """A situation of a kind in which all images are drawn, two looks alone to be quick."""
    group = Group("drawn:chestmnist"), Group("drawn:breastmnist")
    one = next(one for one in situations if one.kind == kind)
    classes = [replace(each, groups=(own,)) for each, own in zip(one.classes, group, strict=True)]
    return replace(one, classes=tuple(classes))


def test_shares_of_images_are_as_stated(situations, tmp_path):
    rare = gather(of_kind(situations, "95 % of one class"), tmp_path, None)
    assert np.bincount(rare.truth) / len(rare.truth) == pytest.approx([0.95, 0.05], abs=0.01)
    absent = gather(of_kind(situations, "a class without images"), tmp_path, None)
    assert set(absent.truth) == {0}
    assert len(absent.images) == len(absent.test) == PER_TASK


def test_images_of_no_class_have_no_right_label(situations, tmp_path):
    foreign = (Group("drawn:breastmnist"),)
    one = replace(of_kind(situations, "images of no class"), foreign=foreign, foreign_share=0.5)
    found = gather(one, tmp_path, None)
    assert np.mean(found.truth == -1) == pytest.approx(0.5, abs=0.01)
    again = gather(one, tmp_path, None)
    assert np.array_equal(found.images, again.images)
    assert np.array_equal(found.truth, again.truth)


# --- Table ---------------------------------------------------------------------------------------


def row(number, sets, accuracy, agreement):
    signals = dict.fromkeys(SIGNALS, 0.5) | {"agreement": agreement, "unknown": 0.0}
    return {
        "situation": f"{number}", "kind": "known sets", "classes": 2, "sets": sets,
        "accuracy": accuracy, "confidence": [0.95, 0.5, 0.91, 0.2], "signals": signals,
        "alone": signals | dict.fromkeys(ENSEMBLE_SIGNALS),
    }  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Of twelve pairs of sets, one that is read and one that is guessed each."""
    pairs = [[f"drawn:{a}", f"drawn:{b}"] for a in "abc" for b in "wxyz"]
    return [
        row(2 * number + bad, pair, 0.5 if bad else 0.99, 0.0 if bad else 1.0)
        for number, pair in enumerate(pairs)
        for bad in (0, 1)
    ]


@pytest.fixture(scope="module")
def judgements(rows):
    return judged(rows, to_situations(rows))


def test_situations_of_the_same_images_are_in_one_fold(rows):
    table = to_situations(rows)
    sets = [",".join(each["sets"]) for each in rows]
    assert table["fold"].nunique() > 1
    assert table.groupby(sets)["fold"].nunique().max() == 1


def test_signals_that_one_teacher_lacks_are_empty(rows):
    table = to_situations(rows)
    assert table[[f"alone_{name}" for name in ENSEMBLE_SIGNALS]].isna().all(axis=None)
    assert table["agreement"].tolist() == [1.0, 0.0] * 12


def test_each_fold_is_judged_by_the_others(rows, judgements):
    # in all other folds every situation is bad, so that this one is judged as bad
    table = to_situations(rows)
    mine = table["fold"] == table["fold"].iloc[0]
    spoiled = table.assign(accuracy=table["accuracy"].where(mine, 0.0))
    found = judged(rows, spoiled)
    assert (found.loc[mine, "estimate"] == 0).all()
    assert judgements["situation"].tolist() == [each["situation"] for each in rows]


def test_clear_situations_are_judged_right(judgements):
    assert judgements["verdict"].tolist() == ["read", "guessing"] * 12
    # two of four images are above the default level; where it was guessed, none is accepted
    assert judgements["auto"].tolist() == [0.5, 0.0] * 12


def test_one_teacher_alone_is_judged_without_the_others(rows):
    found = judged(rows, to_situations(rows), alone=True)
    assert found["verdict"].nunique() == 1  # nothing else differs in these situations


def test_targets_of_a_table_made_by_hand():
    table = pd.DataFrame(
        [
            # accuracy, classes, estimate, low, high, verdict, auto
            (0.50, 2, 0.6, 0.4, 0.7, "guessing", 0.0),
            (0.69, 2, 0.9, 0.8, 1.0, "read", 0.8),
            (0.30, 4, 0.3, 0.2, 0.4, "doubtful", 0.1),
            (0.50, 4, 0.5, 0.4, 0.6, "read", 0.3),
            (0.96, 2, 0.9, 0.8, 1.0, "doubtful", 0.2),
            (0.98, 2, 0.98, 0.9, 1.0, "read", 1.0),
            (0.99, 3, 0.5, 0.3, 0.7, "guessing", 0.0),
            (1.00, 3, 1.0, 0.9, 1.0, "read", 1.0),
        ],
        columns=["accuracy", "classes", "estimate", "low", "high", "verdict", "auto"],
    )
    found = targets(table).set_index("target")["reached"]
    assert found["situations"] == 8
    assert found["useless ones"] == 3
    assert found["good ones"] == 4
    assert found["useless situations with the verdict read"] == pytest.approx(1 / 3)
    assert found["images accepted in useless situations"] == pytest.approx(0.3)
    assert found["good situations with the verdict guessing"] == 0.25
    assert found["good situations with the verdict doubtful"] == 0.25
    assert found["mean absolute error of the estimate"] == pytest.approx(0.86 / 8)
    assert found["coverage of the 90 % interval"] == 0.75
    assert found["mean width of the interval"] == pytest.approx(1.7 / 8)


def test_finished_rows_are_read_in_the_order_of_their_names(tmp_path):
    (tmp_path / "1.json").write_text('{"situation": "b"}')
    (tmp_path / "2.json").write_text('{"situation": "a"}')
    (tmp_path / "3.partial").write_text("{")
    assert [one["situation"] for one in read_rows(tmp_path)] == ["a", "b"]
