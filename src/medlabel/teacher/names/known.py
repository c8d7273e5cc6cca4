"""What one name of a class stands for, without the other classes of the task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from medlabel.phantoms import LOOKS
from medlabel.teacher.captions import CLASS_NAMES, SET_CAPTIONS, SHORT_NAMES
from medlabel.teacher.names.synonyms import (
    BODY_PARTS,
    DENIAL,
    FINDINGS,
    HEALTHY,
    IN_CONTEXT,
    MODALITIES,
    NOT_FOR_ONE_SET,
    ORGANS,
    OTHER_NAMES,
    PART_IN_MODALITY,
    UNUSUAL,
    SetLabel,
    key_of,
)
from medlabel.teacher.phantom_captions import _SUBJECTS, _SYNONYMS

__all__ = ["Meaning", "canonical", "flag_named", "known_meaning"]

_PICTURE = re.compile(r"(.+) (?:scan|image|photo|photograph|picture|film|slice|view|exam|frame)s?")


@dataclass(frozen=True)
class Meaning:
    """What a name stands for.

    Attributes:
        places: sets and labels whose captions are read.
        captions: others that are read as well.
        without: captions of images without it, if it is a finding that no set has as a label.
        own: whether the captions are the user's own words.
        known: whether captions were found; otherwise the name fills a template.
    """

    places: tuple[SetLabel, ...] = ()
    captions: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    own: bool = False
    known: bool = True

    @property
    def labelled(self) -> tuple[SetLabel, ...]:
        """The places that are labels of a set, and not a set as a whole."""
        return tuple(place for place in self.places if place[1] is not None)


def canonical(key: str) -> str:
    """Return the spelling of a key that is known, such as its singular; the key if there is none.

    >>> canonical("lungs"), canonical("ct scans"), canonical("zebras")
    ('lung', 'ct', 'zebras')
    """
    known = (s for s in _spellings(key) if s in IN_CONTEXT or _exactly(s) is not None)
    return next(known, key)


def known_meaning(key: str) -> Meaning | None:
    """Return what a name means by itself; None if it means nothing that is known.

    `pneumonia` means the set here; only the other classes can tell that it is the finding.

    Args:
        key: the name, as `key_of` returns it.
    """
    key = canonical(key)
    return _exactly(key) or _part_in_modality(key)


def flag_named(text: str) -> str | None:
    """Return the flag of a set by its flag or its short name, in any case; None if there is none.

    >>> flag_named("Breast"), flag_named("knee")
    ('breastmnist', None)
    """
    key = text.strip().lower()
    key = SHORT_NAMES.get(key, key)
    return key if key in SET_CAPTIONS else {flag.lower(): flag for flag in LOOKS}.get(key)


def _exactly(key: str) -> Meaning | None:
    """The meaning of a key in exactly this spelling."""
    if key in _tables():
        return Meaning(_tables()[key])
    if (own := _own_look(key)) is not None:
        return Meaning((own,))
    if key in FINDINGS:
        return Meaning(captions=FINDINGS[key][0], without=FINDINGS[key][1])
    if key in MODALITIES:
        return Meaning(captions=MODALITIES[key][1])
    if key in BODY_PARTS:
        return Meaning(captions=BODY_PARTS[key])
    places = _training_names().get(key)
    return Meaning(places) if places else None


def _spellings(key: str) -> list[str]:
    """A key, without a word for a picture at its end, and both in the singular."""
    picture = _PICTURE.fullmatch(key)
    keys = [key, picture[1]] if picture else [key]
    return list(dict.fromkeys([*keys, *map(_singular, keys)]))


def _singular(key: str) -> str:
    *words, last = key.split(" ")
    if last in UNUSUAL:
        last = UNUSUAL[last]
    elif last.endswith("ies"):
        last = f"{last[:-3]}y"
    elif last.endswith("s") and not last.endswith(("ss", "us", "is")):
        last = last[:-1]
    return " ".join([*words, last])


def _part_in_modality(key: str) -> Meaning | None:
    """The meaning of a part of the body with a modality: `brain mri`, `ct of the head`."""
    words = key.replace(" of the ", " ").replace(" of ", " ").split(" ")
    for cut in range(1, len(words)):
        first, last = " ".join(words[:cut]), " ".join(words[cut:])
        for part, modality in ((first, last), (last, first)):
            part = UNUSUAL.get(part, _singular(part))
            wordings = PART_IN_MODALITY.get(MODALITIES.get(modality, ("", ()))[0])
            if wordings and (part in BODY_PARTS or part in ORGANS):
                return Meaning(captions=tuple(wording.format(part) for wording in wordings))
    return None


@cache
def _tables() -> Mapping[str, tuple[SetLabel, ...]]:
    """The sets and labels by the names of the caption tables, and by other names."""
    owners: dict[str, tuple[SetLabel, ...]] = {}
    for flag, names in CLASS_NAMES.items():
        for label, name in enumerate(names):
            owners[key_of(name)] = (*owners.get(key_of(name), ()), (flag, label))
    ambiguous = [key for key, places in owners.items() if len(places) == 2]
    found = {key: places for key, places in owners.items() if key not in ambiguous}
    found |= OTHER_NAMES
    for short, flag in SHORT_NAMES.items():
        found |= {short: ((flag, None),), flag: ((flag, None),)}
    return found


@cache
def _training_names() -> Mapping[str, tuple[SetLabel, ...]]:
    """Sets and labels by those names in the training captions that mean nothing else."""
    names: list[tuple[str, SetLabel]] = [
        (key_of(name), (flag, None)) for flag, found in _SUBJECTS.items() for name in found
    ]
    for flag, classes in _SYNONYMS.items():
        for label, found in enumerate(classes):
            names += [(key_of(name), (flag, label)) for name in found]
    counts = Counter(key for key, _ in names)
    organs = {key for key, count in counts.items() if count == 3}
    return {
        key: tuple(place for other, place in names if other == key)
        for key in counts
        if (counts[key] == 1 or key in organs) and _means_one_set(key)
    }


def _means_one_set(key: str) -> bool:
    """Whether a name in the training captions of a set means that set and nothing else."""
    return key not in NOT_FOR_ONE_SET and key not in HEALTHY and not DENIAL.fullmatch(key)


def _own_look(key: str) -> SetLabel | None:
    """A look that the user added, or one of its kinds, by its name."""
    for flag, look in LOOKS.items():
        if flag in SET_CAPTIONS:
            continue
        if key_of(flag) == key:
            return flag, None
        for number, kind in enumerate(look.kinds):
            if key_of(kind.name) == key:
                return flag, number
    return None
