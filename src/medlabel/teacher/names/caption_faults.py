"""What a loaded teacher cannot read of captions: ends that are cut, strange words, twin classes.

| kind | fault |
| --- | --- |
| `cut` | a caption is longer than the model's context: its end is not read |
| `unread` | the tokenizer breaks a word into bytes or knows nothing of it |
| `alike` | the captions of two classes are nearly the same to the model |

Of `alike`, the cosine of two classes is compared with `ALIKE`. By the phantom CLIP, the captions of
different labels of MedMNIST's sets have a median cosine of 0.3 to 0.9 within a set, and the
closest, the left and the right of one organ, 0.9953. Words that it never learned have up to 0.999
("hand", "knee"), and captions that differ only in what is cut 1.000. Chinese and Russian words
(0.985 to 0.995) are found by their tokens.
"""

from __future__ import annotations

import logging
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medlabel.errors import TeacherWarning

__all__ = ["ALIKE", "CaptionFault", "caption_faults", "warn_of"]

ALIKE = 0.996
"""Cosine of the embeddings of two classes from which they count as nearly the same."""

_LOG = logging.getLogger("medlabel.teacher")
_MORE = 64  # tokens beyond the context: they show whether a caption has more than fits
# A single sign of Chinese, Japanese or Korean may be a word.
_WORD = re.compile("[^\\W\\d_]{2,}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SHOWN = 3
_QUOTED = 60  # characters of a caption


@dataclass(frozen=True)
class CaptionFault:
    """Something that a teacher cannot read.

    Attributes:
        kind: see this module's table.
        sentence: what it is, for the user.
        class_name: the class that it is about; None if it is about two.
        value: the cosine of two classes.
    """

    kind: Literal["cut", "unread", "alike"]
    sentence: str
    class_name: str | None = None
    value: float | None = None


def caption_faults(
    captions: Mapping[str, Sequence[str]],
    tokenizer: Any,
    embeddings: NDArray[np.floating],
) -> list[CaptionFault]:
    """Return what a teacher cannot read of captions.

    Args:
        captions: those of each of K classes, by its name.
        tokenizer: the model's. One without `context_length` is not asked.
        embeddings: of the classes, [K, D], each row of length one.
    """
    found = list(_about_classes(list(captions), embeddings))
    if getattr(tokenizer, "context_length", None):
        for name, texts in captions.items():
            found += _about_ends(name, texts, tokenizer)
            found += _about_words(name, texts, tokenizer)
    return found


def warn_of(sentences: Sequence[str]) -> None:
    """Warn of what a teacher assumed or cannot read; the log of `medlabel.teacher` has it, too."""
    for sentence in sentences:
        _LOG.info("%s", sentence)
        warnings.warn(sentence, TeacherWarning, stacklevel=3)


# --- Two classes ----------------------------------------------------------------------------------


def _about_classes(
    names: Sequence[str], embeddings: NDArray[np.floating]
) -> Iterator[CaptionFault]:
    """The pairs of classes that are nearly the same, the worst first; further ones are counted."""
    cosines = np.asarray(embeddings, np.float64) @ np.asarray(embeddings, np.float64).T
    pairs = [(cosines[a, b], a, b) for a, b in combinations(range(len(names)), 2)]
    twins = sorted((pair for pair in pairs if pair[0] >= ALIKE), reverse=True)
    for cosine, a, b in twins[:_SHOWN]:
        yield CaptionFault(
            "alike",
            f"the captions of {names[a]!r} and {names[b]!r} are nearly the same to the teacher "
            f"(cosine {cosine:.4f}), so it can hardly tell these classes apart: describe them in "
            "other words, or choose another teacher (--clip)",
            value=float(cosine),
        )
    if len(twins) > _SHOWN:
        sentence = f"{len(twins) - _SHOWN} more pairs of classes are nearly the same to the teacher"
        yield CaptionFault("alike", sentence, value=float(twins[_SHOWN][0]))


# --- One caption ----------------------------------------------------------------------------------


def _about_ends(name: str, texts: Sequence[str], tokenizer: Any) -> Iterator[CaptionFault]:
    cut = [text for text in texts if _is_cut(text, tokenizer)]
    if not cut:
        return
    words = cut[0].split()
    read = _words_that_fit(words, tokenizer)
    lost = _short(" ".join(words[read:]) or cut[0])
    yield CaptionFault(
        "cut",
        f"the caption {_short(cut[0])!r} of {name!r}{_others(cut)} is longer than the "
        f"{tokenizer.context_length} tokens that the teacher reads: {lost!r} at its end is not "
        "read. Write what tells the classes apart first, and shorter",
        name,
    )


def _is_cut(text: str, tokenizer: Any) -> bool:
    """Whether the tokens of a text differ where there is room for more of them.

    The last token is not compared: some tokenizers put a mark there, whatever comes before it.
    """
    limit = tokenizer.context_length
    short, long = tokenizer([text]), tokenizer([text], context_length=limit + _MORE)
    last = limit - (getattr(tokenizer, "tokenizer_mode", "") == "clips")
    return not bool((short[0, :last] == long[0, :last]).all())


def _words_that_fit(words: Sequence[str], tokenizer: Any) -> int:
    """How many words from the first on are read."""
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        fits = not _is_cut(" ".join(words[:middle]), tokenizer)
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _about_words(name: str, texts: Sequence[str], tokenizer: Any) -> Iterator[CaptionFault]:
    words = dict.fromkeys(word for text in texts for word in _WORD.findall(text))
    unread = [word for word in words if _is_unread(word, tokenizer)]
    if not unread:
        return
    first = next(text for text in texts if unread[0] in text)
    shown = ", ".join(unread[:_SHOWN]) + (", …" if len(unread) > _SHOWN else "")
    yield CaptionFault(
        "unread",
        f"the teacher hardly knows {shown} in the caption {_short(first)!r} of {name!r}: its "
        "tokenizer breaks such words into bytes. Describe the class in English, or choose a "
        "teacher that has learned this language (--clip)",
        name,
    )


def _is_unread(word: str, tokenizer: Any) -> bool:
    """Whether a word becomes unknown tokens, or one per letter and more.

    English words have a token for three letters or more, other words in Latin letters one for two.
    """
    unit = len(word) < 3 and any(map(str.isascii, word))  # such as micrometres
    if unit or word.isascii():
        return False
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None:  # of the Hub: those of other languages have a token for each sign
        unknown = getattr(inner, "unk_token_id", None)
        return unknown is not None and unknown in inner(word).input_ids
    encode = getattr(tokenizer, "encode", None)
    tokens = len(encode(word)) if encode else 0
    return tokens > len(word) or (tokens == len(word) and not _is_latin(word))


def _is_latin(word: str) -> bool:
    return all(unicodedata.name(letter, "").startswith("LATIN") for letter in word)


def _others(texts: Sequence[str]) -> str:
    return f" (and {len(texts) - 1} more of its captions)" if len(texts) > 1 else ""


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 1].rstrip()}…"
