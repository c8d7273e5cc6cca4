"""The situations in which a verdict is tried: which images, under which names, and which teachers.

A situation is a labelling task with a known outcome: the teachers may have been trained without
what its images show, the names may be of something else, and images of no class may be among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from benchmarks.distortions import DISTORTIONS, EMPTY
from benchmarks.guessing.classes import (
    Group,
    Situation,
    finding,
    kinds_of,
    situation,
    typed,
    unseen_class,
    whole_set,
)
from benchmarks.unseen_looks import UNSEEN
from medlabel.phantoms import LOOKS
from medlabel.teacher.captions import CLASS_NAMES

__all__ = ["all_situations"]

ORGANS = ("organamnist", "organcmnist", "organsmnist")
REAL = ("breastmnist", "pneumoniamnist", "chestmnist", "bloodmnist")
WHOLE = ((0, 1, 2), (3, 4, 5), (6, 7, 8))


def all_situations(extras: Sequence[str] = ()) -> list[Situation]:
    """Every situation; `extras` are the names of further sets of real images that are at hand."""
    found = [
        *_known(), *_within(), *_never_seen(), *_unseen_looks(), *_extras(extras), *_names_wrong(),
        *_mixtures(), *_distorted(), *_strangers(extras),
    ]  # fmt: skip
    names = [one.name for one in found]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    return found


def _known() -> Iterator[Situation]:
    """Sets that the teachers know, real and drawn, under their own names."""
    for size in (2, 3, 4):
        for flags in combinations(REAL, size):
            for seeds in WHOLE[: 3 if size == 2 else 2]:
                yield situation(
                    "known sets", [whole_set("real", flag) for flag in flags],
                    f"seeds {seeds}", seeds=seeds,
                )  # fmt: skip
    rng = np.random.default_rng(0)
    pairs = list(combinations(LOOKS, 2))
    for number, row in enumerate(rng.permutation(len(pairs))[:24]):
        seeds = WHOLE[number % 3]
        classes = [whole_set("drawn", flag) for flag in pairs[row]]
        yield situation("known sets", classes, f"seeds {seeds}", seeds=seeds)
    for number in range(8):
        size = 3 + number % 4
        chosen = [list(LOOKS)[row] for row in rng.permutation(len(LOOKS))[:size]]
        yield situation("known sets", [whole_set("drawn", flag) for flag in chosen])
    yield situation("known sets", [whole_set("drawn", flag) for flag in LOOKS])


def _within() -> Iterator[Situation]:
    """Classes of one set that the teachers know: easy, hard and hopeless ones."""
    for seeds in WHOLE:
        for flag in ("pneumoniamnist", "breastmnist", "bloodmnist"):
            classes = kinds_of("real", flag)
            yield situation("classes of a known set", classes, f"seeds {seeds}", seeds=seeds)
    for label in (0, 1, 2, 3, 4, 5):
        yield situation("classes of a known set", finding("real", label))
    rng = np.random.default_rng(1)
    pairs = list(combinations(range(8), 2))
    for number, row in enumerate(rng.permutation(len(pairs))[:18]):
        classes = kinds_of("real", "bloodmnist", pairs[row])
        seeds = WHOLE[number % 3]
        yield situation("classes of a known set", classes, f"seeds {seeds}", seeds=seeds)
    for flag in LOOKS:
        if flag != "chestmnist":
            yield situation("classes of a known set", kinds_of("drawn", flag))
        count = len(CLASS_NAMES[flag])
        if count > 3:
            for pick in range(2):
                two = sorted(rng.permutation(count)[:2].tolist())
                classes = kinds_of("drawn", flag, two)
                yield situation("classes of a known set", classes, f"pick {pick}")


def _never_seen() -> Iterator[Situation]:
    """Sets and kinds that the teachers were trained without, under their own names."""
    whole = [(flag,) for flag in LOOKS if flag not in ORGANS]
    for left_out in (*whole, ORGANS, ("chestmnist", "pneumoniamnist")):
        yield from _without_looks(left_out)
    kinds = (
        ("pneumoniamnist", 1), ("breastmnist", 0), ("bloodmnist", 6), ("dermamnist", 4),
        ("pathmnist", 8), ("octmnist", 3),
    )  # fmt: skip
    for flag, label in kinds:
        yield from _without_kind(flag, label)


def _without_looks(left_out: tuple[str, ...]) -> Iterator[Situation]:
    kind = "a set that was not learned"
    rng = np.random.default_rng(len(left_out) + sum(map(ord, left_out[0])))
    rest = [flag for flag in LOOKS if flag not in left_out]
    for flag in left_out:
        for where in ("real", "drawn") if flag in REAL else ("drawn",):
            others = [flag for flag in REAL if flag not in left_out] if where == "real" else rest
            for number, row in enumerate(rng.permutation(len(others))[:3]):
                classes = [whole_set(where, flag), whole_set(where, others[row])]
                seeds = tuple(np.roll((0, 1, 2), number).tolist())
                note = f"without {','.join(left_out)}"
                yield situation(kind, classes, note, left_out=left_out, seeds=seeds)
            more = [others[row] for row in rng.permutation(len(others))[:3]]
            classes = [whole_set(where, flag), *(whole_set(where, each) for each in more)]
            yield situation(kind, classes, f"without {','.join(left_out)}", left_out=left_out)
            inner = kinds_of(where, flag)[:9]
            if flag == "chestmnist":
                inner = finding(where, 1)
            yield situation(
                "classes of a set that was not learned", inner,
                f"without {','.join(left_out)}", left_out=left_out,
            )  # fmt: skip
    if len(left_out) > 1:
        classes = [whole_set("drawn", flag) for flag in left_out]
        yield situation(kind, classes, f"without {','.join(left_out)}", left_out=left_out)


def _without_kind(flag: str, label: int) -> Iterator[Situation]:
    left_out = (f"{flag}#{label}",)
    count = len(CLASS_NAMES[flag])
    others = [each for each in range(count) if each != label]
    for where in ("real", "drawn") if flag in REAL else ("drawn",):
        for seeds, other in zip(((0, 1, 2), (1, 2, 0)), (others[0], others[-1]), strict=True):
            classes = kinds_of(where, flag, (label, other))
            yield situation(
                "a class that was not learned", classes, f"without {left_out[0]}, {seeds}",
                left_out=left_out, seeds=seeds,
            )  # fmt: skip
        if count > 2:
            yield situation(
                "a class that was not learned", kinds_of(where, flag), f"without {left_out[0]}",
                left_out=left_out,
            )  # fmt: skip


def _unseen_looks() -> Iterator[Situation]:
    """Looks that no teacher has learned, under plain names."""
    flags = list(UNSEEN)
    rng = np.random.default_rng(2)
    for number in range(16):
        one, other = rng.permutation(len(flags))[:2]
        classes = [unseen_class(flags[one]), unseen_class(flags[other])]
        if len({each.name for each in classes}) == 2:
            seeds = WHOLE[number % 3]
            yield situation("unseen looks", classes, f"seeds {seeds}", seeds=seeds)
    for number in range(5):
        size = 3 + number % 4
        chosen = [flags[row] for row in rng.permutation(len(flags))[:size]]
        classes = [unseen_class(flag) for flag in chosen]
        if len({each.name for each in classes}) == size:
            yield situation("unseen looks", classes, f"{size}")
    for number, flag in enumerate(flags):
        known = list(LOOKS)[int(rng.integers(12))]
        classes = [unseen_class(flag), whole_set("drawn", known)]
        yield situation("an unseen look and a known set", classes, seeds=WHOLE[number % 3])
        inner = [typed(name, Group(f"unseen:{flag}", (label,)))
                 for label, name in enumerate(UNSEEN[flag].kinds)]  # fmt: skip
        yield situation("classes of an unseen look", inner, flag)


def _extras(extras: Sequence[str]) -> Iterator[Situation]:
    """Real images of kinds that no teacher has learned."""
    kinds = {
        "brain_mr_axial": "brain MRI", "head_ct_axial": "head CT", "brain_mr_sagittal": "brain MRI",
        "brain_mr_people_axial": "brain MRI", "brain_mr_people_coronal": "brain MRI",
        "head_ct_sagittal": "head CT", "histology_ihc": "histology",
        "fundus_retina": "fundus photo", "photos": "photo", "digits": "digit",
        "pages_of_text": "text", "space": "galaxy", "cell_phase": "cell in phase contrast",
        "brain_fmri_axial": "functional MRI",
    }  # fmt: skip
    there = [name for name in kinds if name in extras]
    for number, (one, other) in enumerate(combinations(there, 2)):
        if kinds[one] != kinds[other] and number % 4 == 0:
            classes = [typed(kinds[name], Group(f"extra:{name}")) for name in (one, other)]
            yield situation(
                "unseen real images", classes, f"{one}, {other}", seeds=WHOLE[number % 3]
            )
    for number, name in enumerate(there):
        flag = REAL[number % 4]
        classes = [typed(kinds[name], Group(f"extra:{name}")), whole_set("real", flag)]
        yield situation(
            "unseen real images and a known set", classes, name, seeds=WHOLE[number % 3]
        )
    pairs = {
        ("T1", "PD"): ("brain_mr_axial", "brain_mr_pd_axial"),
        ("axial", "sagittal"): ("brain_mr_axial", "brain_mr_sagittal"),
        ("coronal", "sagittal"): ("head_ct_coronal", "head_ct_sagittal"),
        ("human brain", "monkey brain"): ("brain_mr_axial", "monkey_brain_mr_axial"),
    }
    for names, sets in pairs.items():
        if set(sets) <= set(extras):
            classes = [typed(name, Group(f"extra:{images}"))
                       for name, images in zip(names, sets, strict=True)]  # fmt: skip
            yield situation("unseen real images", classes)


NONSENSE = ("blorp", "fnord", "wug", "qxz", "tove", "rath")
ABROAD = {
    "breastmnist": ("Brust", "sein", "mama"), "chestmnist": ("Thorax", "poumons", "tórax"),
    "pneumoniamnist": ("Kinderthorax", "enfant", "neumonía"),
    "bloodmnist": ("Blut", "sang", "sangre"), "dermamnist": ("Haut", "peau", "piel"),
    "retinamnist": ("Netzhaut", "rétine", "ojo"), "pathmnist": ("Gewebe", "tissu", "tejido"),
    "octmnist": ("Makula", "macula", "mácula"),
}  # fmt: skip
ELSEWHERE = ("knee", "hand", "tooth", "spine", "prostate", "brain", "foot", "shoulder")


def _names_wrong() -> Iterator[Situation]:
    """Known images under names that say nothing, or something else."""
    sets = [("real", flag) for flag in REAL] + [("drawn", flag) for flag in ABROAD]
    rng = np.random.default_rng(3)
    for number in range(18):
        size = 2 + number % 2
        chosen = [sets[row] for row in rng.permutation(len(sets))[:size]]
        if len({flag for _, flag in chosen}) < size:
            continue
        groups = [Group(f"{where}:{flag}") for where, flag in chosen]
        seeds = WHOLE[number % 3]
        words = [NONSENSE[row] for row in rng.permutation(len(NONSENSE))[:size]]
        classes = [typed(word, group) for word, group in zip(words, groups, strict=True)]
        note = f"{', '.join(flag for _, flag in chosen)} {number}"
        if number % 3 == 0:
            yield situation("nonsense names", classes, note, seeds=seeds)
        elif number % 3 == 1:
            words = [ABROAD[flag][number % 3] for _, flag in chosen]
            classes = [typed(word, group) for word, group in zip(words, groups, strict=True)]
            yield situation("names in another language", classes, note, seeds=seeds)
        else:
            words = [ELSEWHERE[row] for row in rng.permutation(len(ELSEWHERE))[:size]]
            classes = [typed(word, group) for word, group in zip(words, groups, strict=True)]
            yield situation("names of other body parts", classes, note, seeds=seeds)
    yield from _other_sets_names(rng)


def _other_sets_names(rng: np.random.Generator) -> Iterator[Situation]:
    """Images of known sets under names of other known sets: every label is wrong."""
    for number in range(16):
        where = "real" if number % 2 else "drawn"
        pool = list(REAL if where == "real" else LOOKS)
        shown = [pool[row] for row in rng.permutation(len(pool))[:2]]
        named = [flag for flag in LOOKS if flag not in shown]
        words = [named[row] for row in rng.permutation(len(named))[:2]]
        classes = [replace(whole_set(where, flag), groups=(), share=0.0) for flag in words]
        yield Situation(
            f"{where} {'+'.join(shown)} named {'/'.join(words)}", "names of other sets",
            tuple(classes), seeds=WHOLE[number % 3],
            foreign=tuple(Group(f"{where}:{flag}") for flag in shown), foreign_share=1.0,
        )  # fmt: skip
    for number in range(8):
        flags = [list(LOOKS)[row] for row in rng.permutation(12)[:2]]
        unseen = [list(UNSEEN)[row] for row in rng.permutation(len(UNSEEN))[:2]]
        classes = [replace(whole_set("drawn", flag), groups=(), share=0.0) for flag in flags]
        yield Situation(
            f"unseen {'+'.join(unseen)} named {'/'.join(flags)}", "unseen looks under known names",
            tuple(classes), seeds=WHOLE[number % 3],
            foreign=tuple(Group(f"unseen:{flag}") for flag in unseen), foreign_share=1.0,
        )  # fmt: skip


def _mixtures() -> Iterator[Situation]:
    """Absent classes, rare classes, images of no class, and two looks under one name."""
    rng = np.random.default_rng(4)
    pools = [("real", list(REAL)), ("drawn", list(LOOKS))]
    for number in range(20):
        where, pool = pools[number % 2]
        one, other, third = (pool[row] for row in rng.permutation(len(pool))[:3])
        seeds = WHOLE[number % 3]
        two = [whole_set(where, one), whole_set(where, other)]
        absent = [two[0], replace(two[1], share=0.0)]
        rare = [replace(two[0], share=19.0), two[1]]
        foreign = (Group(f"{where}:{third}"),)
        yield situation("a class without images", absent, f"{number}", seeds=seeds)
        yield situation("95 % of one class", rare, f"{number}", seeds=seeds)
        share = (0.1, 0.3, 0.5, 0.7)[number % 4]
        yield situation(
            "images of no class", two, f"{share:.0%} {third} {number}", seeds=seeds,
            foreign=foreign, foreign_share=share,
        )  # fmt: skip
        if number < 12:
            both = replace(two[0], groups=(*two[0].groups, Group(f"{where}:{third}")))
            yield situation(
                "two looks under one name", [both, two[1]], f"and {third} {number}", seeds=seeds
            )
    for number in range(8):
        where, pool = pools[number % 2]
        one, other = (pool[row] for row in rng.permutation(len(pool))[:2])
        unseen = list(UNSEEN)[int(rng.integers(len(UNSEEN)))]
        share = (0.2, 0.5)[number // 2 % 2]
        yield situation(
            "images of no class", [whole_set(where, one), whole_set(where, other)],
            f"{share:.0%} {unseen} {number}", foreign=(Group(f"unseen:{unseen}"),),
            foreign_share=share, seeds=WHOLE[number % 3],
        )  # fmt: skip


def _distorted() -> Iterator[Situation]:
    """Known images that something happened to, and that are still images."""
    rng = np.random.default_rng(5)
    for number, how in enumerate(sorted(DISTORTIONS) * 2):
        where, pool = ("real", list(REAL)) if number % 2 else ("drawn", list(LOOKS))
        one, other = (pool[row] for row in rng.permutation(len(pool))[:2])
        if how in EMPTY:  # all images are the same: `assess` says so, whatever the signals
            continue
        yield situation(
            "distorted images", [whole_set(where, one), whole_set(where, other)], f"{how} {number}",
            distortion=how, seeds=WHOLE[number % 3],
        )  # fmt: skip


def _strangers(extras: Sequence[str]) -> Iterator[Situation]:
    """Images of kinds that nobody learned, all or most of them, under names that are known."""
    rng = np.random.default_rng(6)
    strange = [f"unseen:{flag}" for flag in UNSEEN]
    strange += [f"extra:{name}" for name in extras if not name.startswith("single_")]
    for number, images in enumerate(strange):
        flags = [list(LOOKS)[row] for row in rng.permutation(len(LOOKS))[: 2 + number % 2]]
        classes = [replace(whole_set("drawn", flag), groups=(), share=0.0) for flag in flags]
        yield Situation(
            f"{images} named {'/'.join(flags)}", "unseen looks under known names", tuple(classes),
            seeds=WHOLE[number % 3], foreign=(Group(images),), foreign_share=1.0,
        )  # fmt: skip
    rng = np.random.default_rng(7)
    for number in range(12):
        one, other = (strange[row] for row in rng.permutation(len(UNSEEN))[:2])
        flags = [REAL[row] for row in rng.permutation(len(REAL))[:2]]
        classes = [replace(whole_set("real", flag), groups=(), share=0.0) for flag in flags]
        yield Situation(
            f"{one} and {other} named {'/'.join(flags)}", "unseen looks under known names",
            tuple(classes), seeds=WHOLE[number % 3], foreign=(Group(one), Group(other)),
            foreign_share=1.0,
        )  # fmt: skip
