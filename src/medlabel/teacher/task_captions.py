"""The captions that a teacher reads for each class of a task."""

from collections.abc import Mapping, Sequence

from medlabel.data.class_names import refuse_alike
from medlabel.data.tasks import ClassSpec, flag_of
from medlabel.errors import InvalidArgumentError
from medlabel.teacher.caption_sets import TEMPLATES, captions_in, unused_captions
from medlabel.teacher.captions import NO_FINDING, class_labels, paper_captions
from medlabel.teacher.clip import base_name
from medlabel.teacher.names.known import Meaning
from medlabel.teacher.names.learned_words import unknown_classes, unlearned_words
from medlabel.teacher.names.meanings import meanings_of, name_and_meaning, words_of
from medlabel.teacher.names.synonyms import NO_FINDING_LABEL, SetLabel, finding_captions
from medlabel.teacher.phantom_clip import is_phantom

__all__ = [
    "caption_lines",
    "captions_by_names",
    "captions_of_task",
    "class_captions",
    "dropped_captions",
    "own_captions",
    "unknown_captions",
    "unlearned_captions",
    "warnings_about",
]

_ADVICE = "write `captions:` in a task's file, or name a file of them with --captions"
_OF_NAMES = ("table", "templates", "descriptions")  # the caption sets that look up a name
_SHOWN = 3  # captions per class


def captions_of_task(
    classes: Sequence[ClassSpec], caption_sets: str = "table"
) -> list[tuple[str, ...]]:
    """Return the captions that a teacher reads for each class of a task, without duplicates.

    Where the source is a MedMNIST set, it decides. Any other class is known by its name, which may
    depend on the other classes (`medlabel.teacher.names.meanings`).

    Args:
        classes: the classes of the task.
        caption_sets: the name of a caption set, or several joined by commas.

    Raises:
        MedlabelError: a name is ambiguous, or two mean the same.
    """
    by_name = [spec for spec in classes if spec.captions is None and not flag_of(spec.source)]
    if not by_name or not _looks_up_names(caption_sets):
        return [class_captions(spec, caption_sets) for spec in classes]
    known = {spec.name: _meaning_of_source(spec) for spec in classes if spec.captions is None}
    try:
        meanings = meanings_of(known)
    except InvalidArgumentError as error:
        advice = "in a task, write `captions:` in its file, or name the file of images for the set"
        raise InvalidArgumentError(f"{error} ({advice})") from error
    return [
        _texts(spec.name, meanings[spec.name], caption_sets)
        if spec in by_name
        else class_captions(spec, caption_sets)
        for spec in classes
    ]


def class_captions(spec: ClassSpec, caption_sets: str = "table") -> tuple[str, ...]:
    """Return the captions that a teacher reads for one class, without duplicates.

    A class of several labels has the captions of all of them. A class `without` some labels has
    those of all other labels and of images without a finding. Captions in the task itself take the
    place of the caption sets `table` and `paper`. A class that is known by its name is looked up
    in the tables alone; `captions_of_task` regards the other classes as well.

    Args:
        spec: the class.
        caption_sets: the name of a caption set, or several joined by commas.
    """
    flag = flag_of(spec.source)
    found: list[str] = []
    for part in caption_sets.split(","):
        if spec.captions is not None and part in ("table", "paper"):
            found += spec.captions
            continue
        for label in _labels_with_captions(spec, flag):
            found += captions_in(part, spec.name, flag=flag, label=label)
        if spec.without and part == "table":
            found += NO_FINDING.get(flag or "", ())
    return tuple(dict.fromkeys(found))


def _labels_with_captions(spec: ClassSpec, flag: str | None) -> tuple[int | None, ...]:
    """Return the labels of a MedMNIST set whose captions are used; (None,) stands for the name."""
    if spec.labels is not None:
        return spec.labels if flag is not None or len(spec.labels) == 1 else (None,)
    if spec.without is not None and flag is not None:
        others = [label for label in class_labels(flag) if label not in spec.without]
        return tuple(others) or (None,)
    return (None,)


def _meaning_of_source(spec: ClassSpec) -> Meaning | None:
    """What a class means by the set of its images; None if it is known by its name alone."""
    flag = flag_of(spec.source)
    if flag is None:
        return None
    return Meaning(tuple((flag, label) for label in _labels_with_captions(spec, flag)))


def captions_by_names(
    classes: Sequence[str], caption_sets: str = "table"
) -> dict[str, tuple[str, ...]]:
    """Return the captions of classes that are known by their names, each once, by name.

    Args:
        classes: names as a user types them, each NAME or NAME=MEANING
            (`medlabel.teacher.names.meanings`).
        caption_sets: the name of a caption set, or several joined by commas.

    Raises:
        MedlabelError: a name is ambiguous, two names are alike (`medlabel.data.class_names`), or
            two names mean the same.

    >>> captions_by_names(["lungs", "Brust=breast"])["lungs"][0]
    'a chest X-ray of an adult'
    """
    pairs = [name_and_meaning(text) for text in classes]
    refuse_alike(name for name, _ in pairs)
    typed = dict(pairs)
    if not _looks_up_names(caption_sets) and not any(typed.values()):
        return {name: _texts(name, Meaning(), caption_sets) for name in typed}
    meanings = meanings_of(typed)
    return {name: _texts(name, meaning, caption_sets) for name, meaning in meanings.items()}


def _looks_up_names(caption_sets: str) -> bool:
    return any(part in _OF_NAMES for part in caption_sets.split(","))


def _texts(name: str, meaning: Meaning, caption_sets: str) -> tuple[str, ...]:
    """The captions of a meaning in some caption sets."""
    texts: list[str] = []
    for part in caption_sets.split(","):
        if meaning.own and part != "templates" and part in (*_OF_NAMES, "paper"):
            texts += meaning.captions
        elif part not in _OF_NAMES or not (meaning.places or meaning.captions):
            texts += captions_in(part, name)
        else:
            texts += [text for place in meaning.places for text in _of_place(place, part)]
            if meaning.captions:
                texts += captions_in(part, name) if part == "templates" else meaning.captions
    return tuple(dict.fromkeys(texts))


def _of_place(place: SetLabel, part: str) -> tuple[str, ...]:
    """The captions of a set, of one of its labels, or of its images without any."""
    flag, label = place
    if place == NO_FINDING_LABEL:
        if part == "templates":
            return tuple(template.format(name="a healthy adult chest") for template in TEMPLATES)
        return NO_FINDING[flag]
    return captions_in(part, flag, flag=flag, label=label)


def caption_lines(captions_by_class: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line per class with what the teacher will read for it.

    Args:
        captions_by_class: the captions by class name.

    >>> caption_lines({"knee": ["an X-ray of the knee"], "lung": list("abcde")})
    ['knee: an X-ray of the knee', 'lung: a | b | c (and 2 more)']
    """
    lines = []
    for name, captions in captions_by_class.items():
        more = f" (and {len(captions) - _SHOWN} more)" if len(captions) > _SHOWN else ""
        lines.append(f"{name}: {' | '.join(captions[:_SHOWN])}{more}")
    return lines


def unknown_captions(
    captions_by_class: Mapping[str, Sequence[str]], advice: str = _ADVICE
) -> list[str]:
    """Return warnings for classes without known captions, whose names fill a template.

    Args:
        captions_by_class: the captions by class name.
        advice: what to do about it.
    """
    return [
        f"no captions are known for {name!r}: the teacher reads {captions[0]!r}. If that is no "
        f"good description, {advice}"
        for name, captions in captions_by_class.items()
        if tuple(captions) in (paper_captions(name), finding_captions(name)[0])
    ]


def dropped_captions(
    own: Mapping[str, Sequence[str]], captions_by_class: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return warnings for classes whose own captions are not read.

    Args:
        own: captions that stand in a task, or that NAME=MEANING spells out, by class name.
        captions_by_class: the captions that the teacher reads.
    """
    return [
        f"{texts[0]!r} is not read for {name!r}, because --captions names no set in whose place it "
        "stands: add `table`, such as --captions table,templates"
        for name, texts in own.items()
        if not set(texts) <= set(captions_by_class[name])
    ]


def own_captions(classes: Sequence[ClassSpec] | Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the captions that stand in classes themselves, by name; most classes have none.

    Args:
        classes: of a task, or names as a user types them, each NAME or NAME=MEANING.
    """
    found: dict[str, tuple[str, ...]] = {}
    for each in classes:
        if isinstance(each, ClassSpec):
            name, texts = each.name, each.captions or ()
        else:
            name, texts = name_and_meaning(each)[0], words_of(each)
        found |= {name: texts} if texts else {}
    return found


def unlearned_captions(captions_by_class: Mapping[str, Sequence[str]]) -> list[str]:
    """Return warnings for classes of which a phantom teacher has learned no distinguishing word.

    Args:
        captions_by_class: the captions by class name.
    """
    words = unlearned_words(captions_by_class)
    return [
        f"the phantom teacher has never learned {_quoted(words[name])}: it finds images of "
        f"{name!r} by elimination at best. Choose a teacher that knows such images (--clip), or "
        "describe them in words that it has learned"
        for name in unknown_classes(captions_by_class)
    ]


def warnings_about(
    captions_by_class: Mapping[str, Sequence[str]],
    classes: Sequence[ClassSpec] | Sequence[str],
    caption_sets: str,
    clips: Sequence[str],
) -> list[str]:
    """Return all warnings about the captions of a task that need no loaded teacher.

    Args:
        captions_by_class: the captions that the teachers read; empty if none is asked.
        classes: as in `own_captions`.
        caption_sets: the name of a caption set, or several joined by commas.
        clips: the teachers, as a user types them.
    """
    if not captions_by_class:
        return []
    unknown = unknown_captions(captions_by_class) if caption_sets == "table" else []
    phantom = any(is_phantom(base_name(clip)) for clip in clips)
    return [
        *unknown,
        *(unlearned_captions(captions_by_class) if phantom else []),
        *dropped_captions(own_captions(classes), captions_by_class),
        *unused_captions(caption_sets, list(captions_by_class)),
    ]


def _quoted(words: Sequence[str]) -> str:
    """The first of some words, for a sentence."""
    shown = ", ".join(f'"{word}"' for word in words[:_SHOWN])
    return f"the word{'s' if len(words) > 1 else ''} {shown}" if words else "such a name"
