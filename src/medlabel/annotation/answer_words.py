"""Which class a person's answer names.

An answer is the name of a class, or a word for "none of the classes" (`NEITHER`). The name is
looked for in this order, so that a class may be called `none`, `?` or `'+ve`:

1. exactly as a class is called; the apostrophe that marks a formula in our CSV files is taken off
   first (`medlabel.storage.csv_files`), and kept second;
2. without blanks around it;
3. with other capitals, spaces or another form of Unicode, if only one class is called so;
4. as one of the words, with any capitals.
"""

from collections.abc import Sequence

from medlabel.data.class_names import plain_name
from medlabel.errors import MedlabelError
from medlabel.storage.csv_files import unescape

__all__ = ["NEITHER", "class_of", "find_class", "word_for_no_class"]

NEITHER = ("neither", "none", "unsure", "unclear", "?")
_NO_CLASS = -1  # the index of "none of the classes"


def find_class(answer: str, classes: Sequence[str]) -> int | None:
    """Index of the class that an answer names, -1 for "none of the classes", None if unclear.

    >>> [find_class(answer, ["None", "+ve"]) for answer in ("none", "'+ve", "Neither", "knee")]
    [0, 1, -1, None]
    """
    for of_answer, of_class in _FORMS:
        for text in (unescape(answer), answer):
            wanted = of_answer(text)
            found = [place for place, name in enumerate(classes) if of_class(name) == wanted]
            if len(found) == 1:
                return found[0]
            if found:
                return None  # two classes are called so, but for capitals or blanks
    return _NO_CLASS if plain_name(answer) in NEITHER else None


def class_of(answer: str, uri: str, classes: Sequence[str]) -> int:
    """Index of the class that an answer about an image names; -1 for none of the classes.

    Raises:
        MedlabelError: the answer is neither a class nor one of `NEITHER`.
    """
    found = find_class(answer, classes)
    if found is None:
        choices = ", ".join((*classes, word_for_no_class(classes))).removesuffix(", ")
        raise MedlabelError(f"{answer!r} about {uri} is not a class: choose from {choices}")
    return found


def word_for_no_class(classes: Sequence[str]) -> str:
    """The first word of `NEITHER` that names no class; empty if each of them does.

    >>> word_for_no_class(["Neither", "chest"])
    'none'
    """
    return next((word for word in NEITHER if find_class(word, classes) == _NO_CLASS), "")


def _same(text: str) -> str:
    return text


_FORMS = ((_same, _same), (str.strip, _same), (str.strip, str.strip), (plain_name, plain_name))
