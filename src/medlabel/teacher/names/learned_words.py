"""The words of captions that a phantom teacher has never learned.

A phantom teacher learns English from its training captions alone. Any other word reaches it as
numbers without a meaning, so a class that is described in such words is guessed:

    >>> unlearned_words({"hand": ["an X-ray of a hand"], "chest": ["an X-ray of a chest"]})
    {'hand': ('hand',), 'chest': ()}

What counts are the words that tell a class from the others. Words that join others (`of`), that
say it is a picture (`photo`), that belong to a known template, and those that every class of the
task has, prove nothing.

| words of a class | meaning |
| --- | --- |
| all | each word that tells it apart stood in a training caption |
| some | one or more did |
| none | none did, or none of those that all of its captions share: the class is unknown |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

from medlabel.phantoms import LOOKS, Look
from medlabel.teacher.caption_sets import TEMPLATES
from medlabel.teacher.captions import PAPER_TEMPLATE
from medlabel.teacher.phantom_captions import kind_paraphrases, set_paraphrases

__all__ = ["Learned", "learned_words", "unknown_classes", "unlearned_words", "words_learned"]

Learned = Literal["all", "some", "none"]

_WORD = re.compile(r"[^\W_]+(?:['&-][^\W_]+)*")  # "X-ray", "H&E" and "child's" are one word each
_JOINER = re.compile(r"['&-]")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FUNCTION_WORDS = _set(
    "a an and any are as at be been but by each for from had has have he her here his i in into is "
    "it it's its of on one only or other our per she so some than that the their them there these "
    "they this those to two under very was we were what which who with you your if if's s t"
)
_DENIALS = _set("no not without normal healthy")
# A word that denies is no function word here: "no tumor" and "tumor" differ by it alone.
_PICTURE_WORDS = _set(
    "photo photos photograph photographs photography picture pictures image images imaging scan "
    "scans film films view views slice slices medical low resolution type kind shown showing shows "
    "show seen see"
)


@cache
def _words_of_look(look: Look) -> frozenset[str]:
    """The words of a look's training captions, and the parts of its compounds."""
    groups = [*set_paraphrases(look.flag)]
    for kind in range(len(look.kinds)):
        groups += kind_paraphrases(look.flag, kind)
    words = {word for group in groups for text in group for word in _words(text)}
    return frozenset(words | {part for word in words for part in _parts(word)})


def learned_words(looks: Sequence[str] | None = None) -> frozenset[str]:
    """Return the words that stood in the training captions of a phantom teacher, in lower case.

    Args:
        looks: flags of the looks that it was trained on; None for all of `phantoms.LOOKS`, those
            that the user added among them.

    >>> {"pneumonia", "x-ray"} <= learned_words() and "hand" not in learned_words()
    True
    """
    found = [_words_of_look(LOOKS[flag]) for flag in (LOOKS if looks is None else looks)]
    return frozenset().union(*found)


def unlearned_words(
    captions_by_class: Mapping[str, Sequence[str]], looks: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return, per class, the words of its captions that the teacher has never learned.

    Each word is listed once, in lower case, in the order of the captions. Function words, words of
    pictures in general and those of medlabel's templates are left out.

    Args:
        captions_by_class: the captions that the teacher reads, by the name of the class.
        looks: as in `learned_words`.

    >>> from medlabel.teacher.captions import paper_captions
    >>> unlearned_words({"Lunge": paper_captions("Lunge"), "lung": paper_captions("lung")})
    {'Lunge': ('lunge',), 'lung': ()}
    """
    known = learned_words(looks)
    return {
        name: tuple(word for word in _content(captions) if not _is_learned(word, known))
        for name, captions in captions_by_class.items()
    }


def words_learned(
    captions_by_class: Mapping[str, Sequence[str]], looks: Sequence[str] | None = None
) -> dict[str, Learned]:
    """Return, per class, whether all, some or none of its distinguishing words were learned.

    The distinguishing words are those that not every class of the task has. Where a class has none
    (`tumor` beside `no tumor`), all its words count. If some words stand in every caption of a
    class, such as the subject "hand" of "a CT scan of a hand" and "an MRI of a hand", and none of
    them was learned, the class is `none`, whatever else its captions hold, and so is its absence:
    `no rash` is as unknown as `rash`. A class without any word (`1`, `?`) is `none`, too.

    Args:
        captions_by_class: as in `unlearned_words`.
        looks: as in `learned_words`.
    """
    known = learned_words(looks)
    subjects = {
        name: [frozenset(_content([text])) for text in captions]
        for name, captions in captions_by_class.items()
    }
    everywhere = frozenset.intersection(
        *(frozenset().union(*found) for found in subjects.values())
    ) if len(subjects) > 1 else frozenset()  # fmt: skip
    return {name: _learned(found, everywhere, known) for name, found in subjects.items()}


def unknown_classes(
    captions_by_class: Mapping[str, Sequence[str]], looks: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the names of the classes of which the teacher has learned no distinguishing word.

    Args:
        captions_by_class: as in `unlearned_words`.
        looks: as in `learned_words`.

    >>> unknown_classes({"hand": ["a photo of a hand"], "chest": ["a photo of a chest"]})
    ('hand',)
    """
    found = words_learned(captions_by_class, looks)
    return tuple(name for name, learned in found.items() if learned == "none")


def _learned(
    captions: Sequence[frozenset[str]], everywhere: frozenset[str], known: frozenset[str]
) -> Learned:
    """Whether all, some or none of the words were learned that tell a class apart."""
    distinguishing = [words - everywhere for words in captions]
    if not frozenset().union(*distinguishing):
        distinguishing = list(captions)
    words = frozenset().union(*distinguishing)
    for subject in (_core(distinguishing) or words, _core(captions) - _DENIALS):
        if subject and not any(_is_learned(word, known) for word in subject):
            return "none"
    if not words:
        return "none"
    return "all" if all(_is_learned(word, known) for word in words) else "some"


def _core(captions: Sequence[frozenset[str]]) -> frozenset[str]:
    """The words that stand in each of some captions."""
    return frozenset.intersection(*captions) if captions else frozenset()


def _is_learned(word: str, known: frozenset[str]) -> bool:
    parts = _parts(word)
    return word in known or (len(parts) > 1 and all(part in known for part in parts))


def _parts(word: str) -> list[str]:
    """The parts of a compound; letters that stand alone, as in "X-ray", are none."""
    return [part for part in _JOINER.split(word) if len(part) > 1]


def _content(captions: Sequence[str]) -> tuple[str, ...]:
    """The words of captions that say something, each once, in order."""
    words = [word for text in captions for word in _words(_subject(text))]
    ignored = _FUNCTION_WORDS | _PICTURE_WORDS
    return tuple(dict.fromkeys(w for w in words if w not in ignored and not w.isdigit()))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'")  # a typeset apostrophe
    return _WORD.findall(plain.lower())


def _subject(caption: str) -> str:
    """What fills the template of a caption: that of the longest known template that fits."""
    for before, after in _templates():
        if (
            len(caption) > len(before) + len(after)
            and caption.startswith(before)
            and caption.endswith(after)
        ):
            return caption[len(before) : len(caption) - len(after)]
    return caption


@cache
def _templates() -> tuple[tuple[str, str], ...]:
    """What stands before and after the name in each known template, the longest first."""
    split = [template.partition("{name}") for template in (PAPER_TEMPLATE, *TEMPLATES)]
    ends = [(before, after) for before, _, after in split]
    return tuple(sorted(ends, key=lambda ends: -sum(map(len, ends))))
