"""Which question of a labelling configuration a student answers."""

import pytest

from serving.images import RequestError
from serving.label_studio.config import find_project, read_questions

CLASSES = ["chest", "breast"]
ORGANS = '<Choice value="chest"/><Choice value="breast"/><Choice value="unclear"/>'
SCAN, TEXT = '<Image name="scan" value="$picture"/>', '<Text name="report" value="$text"/>'


def choices(content=ORGANS, name="organ", to="scan", more=""):
    return f'<Choices name="{name}" toName="{to}" {more}>{content}</Choices>'


def project(*tags, classes=CLASSES):
    return find_project(read_questions(f"<View>{''.join(tags)}</View>"), classes)


def names(found):
    return found.from_name, found.to_name, found.key


@pytest.mark.parametrize(
    "tags",
    [
        (SCAN, choices()),
        (choices(), SCAN),
        ('<Image name="other" value="$other"/>', SCAN, choices()),
        (SCAN, choices('<Choice value="calm"/>', "tone"), choices()),
        (SCAN, TEXT, choices(name="topic", to="report"), choices()),
        ("<View><View>", SCAN, "</View></View><Header value='h'/>", choices()),
    ],
)
def test_choices_are_found_by_their_values_and_the_image_by_its_name(tags):
    assert names(project(*tags)) == ("organ", "scan", "picture")


def test_a_choice_is_a_class_by_alias_or_by_value_and_is_stored_by_alias():
    found = project(
        SCAN, choices('<Choice value="C" alias="chest"/><Choice value="breast" alias="b"/>')
    )
    assert found.tokens == {"chest": "chest", "breast": "b"}
    swapped = choices(
        '<Choice value="chest" alias="breast"/><Choice value="breast" alias="chest"/>'
    )
    assert project(SCAN, swapped).tokens == {"chest": "chest", "breast": "breast"}
    assert project(SCAN, choices('<Choice value="chest" alias="breast"/>')) is None


def test_nested_choices_are_stored_with_those_above_them():
    nested = f'<Choice value="Body" alias="body">{ORGANS}</Choice>'
    assert project(SCAN, choices(nested)).region("chest")["value"] == {"choices": ["chest"]}
    found = project(SCAN, choices(nested, more='allowNested="true"'))
    assert found.region("chest")["value"] == {"choices": [["body", "chest"]]}
    region = found.region("breast") | {"value": {"choices": [["body", "breast"]]}}
    assert found.labels([region]) == ["breast"]
    twice = nested + nested.replace("body", "other")
    assert project(SCAN, choices(twice, more='allowNested="true"')) is None


def test_a_conditional_question_is_found_like_any_other():
    condition = '<View visibleWhen="choice-selected" whenTagName="kind" whenChoiceValue="organ">'
    first = choices('<Choice value="organ"/><Choice value="other"/>', "kind")
    assert names(project(SCAN, first, condition, choices(), "</View>")) == (
        "organ",
        "scan",
        "picture",
    )


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ((SCAN, choices(), choices(name="second")), r"choices of organ \(about scan\) and second"),
        ((TEXT, choices(to="report")), "report, which is a Text and not an Image"),
        ((SCAN, choices(to="gone")), "'gone', and nothing is called so"),
        ((SCAN, TEXT, choices(to="scan,report")), "asks about 2 objects"),
        ((SCAN, choices(more='perRegion="true"')), "asks about regions"),
        (('<Image name="scan" valueList="$all"/>', choices()), "which is a list of images"),
        ((SCAN,), "needs an Image and Choices"),
    ],
)
def test_other_configurations_are_refused_with_the_reason(tags, message):
    with pytest.raises(RequestError, match=message):
        project(*tags)


def test_choices_without_the_students_classes_are_not_its_question():
    assert project(SCAN, choices('<Choice value="chest"/>')) is None
    assert project(SCAN, choices(), classes=["chest", "Breast"]) is None
