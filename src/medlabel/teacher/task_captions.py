"""The captions that a teacher reads for each class of a task."""

from collections.abc import Mapping, Sequence

from medlabel.data.tasks import ClassSpec, flag_of
from medlabel.teacher.caption_sets import captions_in
from medlabel.teacher.captions import NO_FINDING, class_labels, paper_captions

__all__ = ["captions_by_name", "class_captions", "unknown_captions"]

_ADVICE = "write `captions:` in a task's file, or name a file of them with --captions"


def class_captions(spec: ClassSpec, caption_sets: str = "table") -> tuple[str, ...]:
    """Return the captions that a teacher reads for a class, without duplicates.

    A class of several labels has the captions of all of them. A class `without` some labels has
    those of all other labels and of images without a finding. Captions in the task itself take the
    place of the caption sets `table` and `paper`.

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


def captions_by_name(name: str, caption_sets: str = "table") -> tuple[str, ...]:
    """The captions of a class that is known by its name alone, each once.

    Args:
        name: what the user calls the class.
        caption_sets: the name of a caption set, or several joined by commas.
    """
    texts = [text for part in caption_sets.split(",") for text in captions_in(part, name)]
    return tuple(dict.fromkeys(texts))


def unknown_captions(
    captions_by_class: Mapping[str, Sequence[str]], advice: str = _ADVICE
) -> list[str]:
    """Return warnings for classes without known captions, whose names fill the paper's template.

    Args:
        captions_by_class: the captions by class name.
        advice: what to do about it.
    """
    return [
        f"no captions are known for {name!r}: the teacher reads {captions[0]!r}. If that is no "
        f"good description, {advice}"
        for name, captions in captions_by_class.items()
        if tuple(captions) == paper_captions(name)
    ]
