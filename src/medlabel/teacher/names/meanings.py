"""What the names of a task's classes mean together.

A class of `medlabel label` is known by its name alone, which can mean two things: `pneumonia` is
the name of a set (children's chest films) and of a finding. The other classes often tell:

| classes | meaning of the first |
| --- | --- |
| `pneumonia,normal`, `pneumonia,no finding` | the finding in chest films, of adults and children |
| `pneumonia,effusion` | the finding of ChestMNIST, as `effusion` is |
| `normal,drusen` | a retinal OCT scan without a finding |
| `no tumor,tumor` | an image like those of the tumors, without one |
| `pneumonia,chest` | unclear, and refused: the message names the spellings |

What a name means can be spelled out behind an equals sign: `NAME=MEANING`.

| MEANING | example | what the teacher reads |
| --- | --- | --- |
| SET | `pneumonia=pneumoniamnist` | the captions of the set |
| SET#LABEL,… | `pneumonia=pneumoniamnist#1` | those of these labels |
| SET#!LABEL,… | `well=chestmnist#!2` | those of all other labels and of no finding |
| another known name | `Lunge=lung` | what it means |
| words | `pneumonia=a chest X-ray with pneumonia` | these words, as a caption |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from medlabel.errors import InvalidArgumentError
from medlabel.teacher.captions import captions_for, class_labels
from medlabel.teacher.names.known import Meaning, canonical, flag_named, known_meaning
from medlabel.teacher.names.synonyms import (
    ABSENCE,
    DENIAL,
    FINDINGS,
    HEALTHY,
    IN_CONTEXT,
    NO_FINDING_LABEL,
    SetLabel,
    finding_captions,
    key_of,
)

__all__ = ["meanings_of", "name_and_meaning", "words_of"]

_UNKNOWN = Meaning(known=False)
_STATE = re.compile(
    r"(?:(?P<well>normal|healthy)|(?P<ill>abnormal|sick|diseased|pathological)) (?P<of>.+)"
)
_STATE_BEHIND = re.compile(r"(?P<of>.+) (?:(?P<well>normal|healthy)|(?P<ill>abnormal|diseased))")
_LABELS = re.compile(r"(?P<set>[^#]+)#(?P<no>!?)(?P<labels>\d+(?:,\d+)*)")
_ADVICE = "a set (chestmnist), labels of a set (chestmnist#6), a known name, or a caption in words"


def name_and_meaning(typed: str) -> tuple[str, str | None]:
    """Split NAME=MEANING; the meaning is None where there is the name alone.

    Raises:
        ValueError: a side of the equals sign is empty.

    >>> name_and_meaning("sick = pneumoniamnist#1")
    ('sick', 'pneumoniamnist#1')
    """
    name, sign, meaning = (part.strip() for part in typed.partition("="))
    if sign and not (name and meaning):
        raise InvalidArgumentError(f"cannot read class {typed!r}: write NAME or NAME=MEANING")
    return name, meaning or None


def words_of(typed: str) -> tuple[str, ...]:
    """Return the caption that NAME=MEANING spells out in words; nothing for any other meaning.

    >>> words_of("well=a normal film of a knee"), words_of("Lunge=lung")
    (('a normal film of a knee',), ())
    """
    name, meaning = name_and_meaning(typed)
    spelled = None if meaning is None else _spelled(name, meaning)
    return spelled.captions if isinstance(spelled, Meaning) and spelled.own else ()


def meanings_of(classes: Mapping[str, str | Meaning | None]) -> dict[str, Meaning]:
    """Return what each class of a task means.

    Args:
        classes: by name, what it stands for: as a user spells it, its meaning where that is known
            already, or None for the name alone.

    Raises:
        ValueError: a name is ambiguous, two mean the same, or a meaning cannot be read.

    >>> meanings = meanings_of({"Pneumonia": None, "healthy": None})
    >>> meanings["Pneumonia"].places
    (('chestmnist', 6), ('pneumoniamnist', 1))
    >>> meanings_of({"pneumonia": "pneumoniamnist", "chest": None})["pneumonia"].places
    (('pneumoniamnist', None),)
    """
    keys = {name: _spelled(name, what) for name, what in classes.items()}
    present = {
        name: key if isinstance(key, Meaning) else (known_meaning(key) or _UNKNOWN)
        for name, key in keys.items()
        if isinstance(key, Meaning) or known_meaning(key) or not _is_absence(key)
    }
    task = _Task({name: key for name, key in keys.items() if isinstance(key, str)}, present)
    found = {name: task.present_meaning(name) for name in present}
    task = replace(task, present=found)
    found |= {name: task.absence_of(name) for name in classes if name not in present}
    _refuse_twins(classes, found, keys)
    return {name: found[name] for name in classes}


@dataclass(frozen=True)
class _Task:
    """The keys of the classes that are known by name, and what the others than absences mean."""

    keys: Mapping[str, str]
    present: Mapping[str, Meaning]

    def flags_beside(self, name: str) -> set[str]:
        """The sets of which other classes are labels."""
        others = [meaning for other, meaning in self.present.items() if other != name]
        return {flag for meaning in others for flag, _ in meaning.labelled}

    def present_meaning(self, name: str) -> Meaning:
        """What a class means that is no absence, beside the others."""
        meaning, key = self.present[name], self.keys.get(name, "")
        beside = self.flags_beside(name)
        if key in IN_CONTEXT:
            fits = [places for places in IN_CONTEXT[key] if _flags(places) <= beside]
            if fits:
                return Meaning(tuple(place for places in fits for place in places))
        if key == "pneumonia":
            return self._pneumonia(name)
        if not meaning.known and self._is_denied(key):
            captions, without = finding_captions(name.strip())
            return Meaning(captions=captions, without=without, known=False)
        return meaning

    def _is_denied(self, key: str) -> bool:
        """Whether another class is the absence of this one."""
        return any(target in ("", key) for target in map(_target, self.keys.values()))

    def _pneumonia(self, name: str) -> Meaning:
        others = [meaning for other, meaning in self.present.items() if other != name]
        absences = [key for other, key in self.keys.items() if other not in self.present]
        if absences or any(meaning.without for meaning in others):
            return Meaning(tuple(place for (place,) in IN_CONTEXT["pneumonia"]))
        raise InvalidArgumentError(
            f"{name!r} is both a set and a finding: write {name}=pneumoniamnist for all chest "
            f"films of children, or {name}=pneumoniamnist#1 (children) or {name}=chestmnist#6 "
            "(adults) for films with pneumonia"
        )

    def absence_of(self, name: str) -> Meaning:
        """What a class means whose name denies: `normal`, `no tumor`."""
        key = self.keys[name]
        state = _state(key)
        if state is not None:
            return self._in_state(name, *state)
        target = canonical(_target(key) or "")
        if target:
            return self._without(name, target)
        places = [p for flag in sorted(self._findings()) for p in ABSENCE.get(flag, ())]
        return self._if_any(name, places, self._without_captions())

    def _findings(self) -> set[str]:
        return {flag for meaning in self.present.values() for flag, _ in meaning.labelled}

    def _without_captions(self) -> tuple[str, ...]:
        return _once(text for meaning in self.present.values() for text in meaning.without)

    def _if_any(self, name: str, places: Sequence[SetLabel], captions: Sequence[str]) -> Meaning:
        """The meaning of these; a `ValueError` if there are none."""
        if places or captions:
            return Meaning(tuple(dict.fromkeys(places)), tuple(captions))
        raise InvalidArgumentError(
            f"{name!r} does not say what such images show: write {name}=pneumoniamnist#0 (a "
            f"child's chest film), {name}=octmnist#3 (a retinal OCT scan), another label of a set, "
            f"or a caption in words: {name}=a normal scan of …"
        )

    def _without(self, name: str, target: str) -> Meaning:
        """Images without one finding."""
        same = [other for other, key in self.keys.items() if key == target]
        named = [self.present[other] for other in same if other in self.present]
        meaning = named[0] if named else self._finding_named(target)
        if meaning.without:
            return Meaning(captions=meaning.without)
        if not meaning.known:
            return Meaning(captions=finding_captions(target)[1], known=False)
        places = [place for found in meaning.labelled for place in _rest(found, meaning.labelled)]
        return self._if_any(name, places, ())

    def _finding_named(self, target: str) -> Meaning:
        """What is denied, if it is no class of its own."""
        fits = [p for p in IN_CONTEXT.get(target, ()) if _flags(p) <= self._findings()]
        if target == "pneumonia":
            fits = fits or list(IN_CONTEXT[target])
        if fits:
            return Meaning(tuple(place for places in fits for place in places))
        if target in FINDINGS:
            beside = [m.without for other, m in self.present.items() if target in key_of(other)]
            return Meaning(without=_once(t for w in beside for t in w) or FINDINGS[target][1])
        return known_meaning(target) or _UNKNOWN

    def _in_state(self, name: str, well: bool, part: str) -> Meaning:
        """A part of the body or a modality, healthy or sick: `normal brain`."""
        meaning = known_meaning(part)
        if meaning is None:
            return _UNKNOWN
        flags = _flags(meaning.places)
        if well and flags and flags <= set(ABSENCE):
            chests = {"chestmnist", "pneumoniamnist"}
            flags |= self._findings() & chests if flags & chests else set()
            return Meaning(tuple(place for flag in sorted(flags) for place in ABSENCE[flag]))
        texts = [*meaning.captions]
        for flag, label in meaning.places:
            texts += captions_for(flag, flag=flag, label=label)
        how = "normal and healthy" if well else "abnormal, showing disease"
        return Meaning(captions=tuple(f"{text}, {how}" for text in texts))


def _spelled(name: str, text: str | Meaning | None) -> Meaning | str:
    """What a user spelled out, or the key of the name whose meaning it has."""
    if not isinstance(text, str):
        return text or canonical(key_of(name))
    labels = _LABELS.fullmatch(text)
    flag, key = flag_named(labels["set"] if labels else text), canonical(key_of(text))
    if flag is not None and (labels or key != "pneumonia"):
        return _of_labels(flag, labels) if labels else Meaning(((flag, None),))
    if known_meaning(key) or _is_absence(key):
        return key
    if "#" in text or len(text.split()) < 2:
        raise InvalidArgumentError(f"{name}={text}: {text!r} is unknown: write {_ADVICE}")
    return Meaning(captions=(text,), own=True)


def _of_labels(flag: str, found: re.Match[str]) -> Meaning:
    labels = [int(label) for label in found["labels"].split(",")]
    known = class_labels(flag)
    if wrong := [label for label in labels if label not in known]:
        raise InvalidArgumentError(f"{flag} has no label {wrong[0]}: its last is {known[-1]}")
    if found["no"]:
        return Meaning(_others(flag, labels))
    return Meaning(tuple((flag, label) for label in labels))


def _others(flag: str, labels: Iterable[int | None]) -> tuple[SetLabel, ...]:
    """All other labels of a set, and images without a label where it has such."""
    others: list[SetLabel] = [(flag, label) for label in class_labels(flag) if label not in labels]
    return (*others, NO_FINDING_LABEL) if flag == NO_FINDING_LABEL[0] else tuple(others)


def _rest(place: SetLabel, denied: Sequence[SetLabel]) -> tuple[SetLabel, ...]:
    """Images of a set without some of its labels: its healthy ones, or those of other labels."""
    flag = place[0]
    labels = [label for other, label in denied if other == flag]
    healthy = ABSENCE.get(flag, ())
    if len(healthy) == 1 and healthy[0] not in denied and (flag != "pathmnist" or 8 in labels):
        return healthy
    return _others(flag, labels)


def _is_absence(key: str) -> bool:
    return _state(key) is not None or _target(key) is not None


def _target(key: str) -> str | None:
    """What a key denies: a finding, or "" for all; None if it denies nothing."""
    if key in HEALTHY:
        return ""
    found = DENIAL.fullmatch(key)
    return (found["after"] or found["before"]) if found else None


def _state(key: str) -> tuple[bool, str] | None:
    """Of `normal brain`, whether it is healthy, and what."""
    found = _STATE.fullmatch(key) or _STATE_BEHIND.fullmatch(key)
    return (bool(found["well"]), found["of"]) if found else None


def _flags(places: Iterable[SetLabel]) -> set[str]:
    return {flag for flag, _ in places}


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _refuse_twins(
    classes: Mapping[str, str | Meaning | None],
    found: Mapping[str, Meaning],
    keys: Mapping[str, str | Meaning],
) -> None:
    """Raise a `ValueError` if two names mean the same, unless the caller knew both meanings."""
    seen: dict[object, str] = {}
    for name, given in classes.items():
        meaning = found[name]
        what = (frozenset(meaning.places), meaning.captions) if meaning.known else keys[name]
        other = seen.setdefault(what, name)
        if other != name and not (
            isinstance(given, Meaning) and isinstance(classes[other], Meaning)
        ):
            raise InvalidArgumentError(
                f"{other!r} and {name!r} mean the same: leave one out, or say what it means: "
                f"{name}=a caption in words"
            )
