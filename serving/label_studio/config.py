"""Labelling configurations: which question asks for a student's classes, and about which image.

```
<View>
  <Image name="scan" value="$picture"/>  <Text name="report" value="$text"/>
  <Choices name="organ" toName="scan"> <Choice value="chest"/> <Choice value="breast"/> </Choices>
  <Choices name="tone" toName="report"> <Choice value="calm"/> <Choice value="worried"/> </Choices>
</View>
```

A project may show several objects and ask several questions. The one that a student answers is the
`Choices` tag among whose choices all its classes are, by `value` or by `alias`; the object that it
asks about is the one that its `toName` names, and must be an `Image`. If there are several such
questions, none is chosen: the error names them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from serving.images import RequestError

__all__ = ["Project", "Question", "find_project", "read_questions"]

_MAX_XML = 2**20
_TRUE = ("true", "yes", "1")

Token = str | tuple[str, ...]
"""What Label Studio stores for a choice: its alias or value; with `allowNested`, those of its
parents before it."""


@dataclass(frozen=True)
class Question:
    """A `Choices` tag.

    Attributes:
        name: of the tag.
        objects: kind and attributes of the tags that `toName` names; None where there is no such.
        choices: its choices, in order: what Label Studio stores, and the `value` that it shows.
        per_region: whether it asks about regions, or about single images of a list.
    """

    name: str
    objects: tuple[tuple[str, tuple[str, Mapping[str, str]] | None], ...]
    choices: tuple[tuple[Token, str], ...]
    per_region: bool

    def tokens(self, classes: Sequence[str]) -> dict[str, Token] | None:
        """What is stored for each class; None unless each class is a choice of its own."""
        found = {name: self._token(name) for name in classes}
        tokens = {name: token for name, token in found.items() if token is not None}
        return tokens if len(set(tokens.values())) == len(classes) else None

    def _token(self, name: str) -> Token | None:
        """What is stored for the choice with this alias, or else with this value."""
        for found in (
            {token for token, _ in self.choices if _last(token) == name},
            {token for token, value in self.choices if value == name},
        ):
            if found:
                return found.pop() if len(found) == 1 else None
        return None

    def obstacle(self) -> str | None:
        """Why it is no question about one image; None if it is."""
        if self.per_region:
            return f"{self.name} asks about regions or single images of a list"
        if len(self.objects) != 1:
            return f"{self.name} asks about {len(self.objects)} objects (toName)"
        ((name, found),) = self.objects
        if found is None:
            return f"{self.name} asks about {name!r}, and nothing is called so"
        if found[0].lower() != "image":
            return f"{self.name} asks about {name}, which is a {found[0]} and not an Image"
        if "valuelist" in {key.lower() for key in found[1]}:
            return f"{self.name} asks about {name}, which is a list of images"
        return None


@dataclass(frozen=True)
class Project:
    """The question that a student answers.

    Attributes:
        from_name: name of the Choices tag.
        to_name: name of the Image tag.
        key: of the image in a task's data.
        tokens: what Label Studio stores for each class.
    """

    from_name: str
    to_name: str
    key: str
    tokens: Mapping[str, Token]

    def region(self, label: str) -> dict[str, Any]:
        """A label in Label Studio's format."""
        token = self.tokens[label]
        return {
            "from_name": self.from_name,
            "to_name": self.to_name,
            "type": "choices",
            "value": {"choices": [token if isinstance(token, str) else list(token)]},
        }

    def labels(self, result: Sequence[Mapping[str, Any]] | None) -> list[str]:
        """The choices that a person ticked: names of classes where they are, else the choices."""
        ticked = []
        for region in result or ():
            about = region.get("to_name", self.to_name), region.get("from_name")
            if region.get("type") == "choices" and about == (self.to_name, self.from_name):
                ticked += [self._label(choice) for choice in region["value"]["choices"]]
        return list(dict.fromkeys(ticked))

    def _label(self, choice: object) -> str:
        parts = tuple(map(str, choice)) if isinstance(choice, list) and choice else str(choice)
        for name, token in self.tokens.items():
            if parts in (token, (token,)):
                return name
        return _last(parts)


def read_questions(xml: object) -> list[Question]:
    """The Choices of a labelling configuration.

    Raises:
        RequestError: it is no labelling configuration, or has no Choices.
    """
    if not isinstance(xml, str) or len(xml) > _MAX_XML or "<!" in xml.replace("<!--", ""):
        raise RequestError(400, "not a labelling configuration")
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314  (no declarations: nothing to expand)
    except ElementTree.ParseError as error:
        raise RequestError(400, f"a labelling configuration that is not XML: {error}") from None
    objects = [one for one in root.iter() if one.get("name") and not one.get("toName")]
    tags = {one.get("name", ""): (one.tag, one.attrib) for one in objects}
    found = [_question(one, tags) for one in root.iter() if one.tag.lower() == "choices"]
    if not found:
        raise RequestError(400, "the labelling configuration needs an Image and Choices")
    return found


def _question(
    tag: "ElementTree.Element[str]", tags: Mapping[str, tuple[str, Mapping[str, str]]]
) -> Question:
    names = [name.strip() for name in tag.get("toName", "").split(",") if name.strip()]
    single = any(tag.get(key, "").lower() in _TRUE for key in ("perRegion", "perItem"))
    nested = tag.get("allowNested", "").lower() in _TRUE
    return Question(
        tag.get("name", ""),
        tuple((name, tags.get(name)) for name in names),
        tuple(_choices(tag, () if nested else None)),
        single,
    )


def _choices(
    tag: "ElementTree.Element[str]", above: tuple[str, ...] | None
) -> Iterator[tuple[Token, str]]:
    """The choices below a tag, and the choices below these; `above` is None if paths do not count.

    Label Studio stores the alias of a choice that has one.
    """
    for one in tag:
        if one.tag.lower() != "choice":
            yield from _choices(one, above)
            continue
        value = one.get("value", "")
        own = one.get("alias") or value
        path = None if above is None else (*above, own)
        yield path or own, value
        yield from _choices(one, path)


def find_project(questions: Sequence[Question], classes: Sequence[str]) -> Project | None:
    """The question about an image among whose choices are all classes; None if no choices are.

    Raises:
        RequestError: there are several, or none of them is about one image.
    """
    fitting = [(one, tokens) for one in questions if (tokens := one.tokens(classes)) is not None]
    obstacles = [(one.obstacle(), one, tokens) for one, tokens in fitting]
    ours = [(one, tokens) for obstacle, one, tokens in obstacles if obstacle is None]
    if len(ours) > 1:
        names = " and ".join(f"{one.name} (about {one.objects[0][0]})" for one, _ in ours)
        raise RequestError(
            400, f"the classes {', '.join(classes)} are choices of {names}: keep them in one"
        )
    if fitting and not ours:
        reasons = "; ".join(str(obstacle) for obstacle, *_ in obstacles)
        raise RequestError(400, f"no question about an image has these classes: {reasons}")
    if not ours:
        return None
    ((question, tokens),) = ours
    ((name, found),) = question.objects
    key = (found[1].get("value") if found else None) or "$image"
    return Project(question.name, name, key.removeprefix("$"), tokens)


def _last(token: Token) -> str:
    return token if isinstance(token, str) else token[-1]
