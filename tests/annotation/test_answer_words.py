import pytest

from medlabel.annotation.answer_words import NEITHER, class_of, find_class, word_for_no_class
from medlabel.errors import MedlabelError
from medlabel.storage.csv_files import escape


@pytest.mark.parametrize(
    ("classes", "answers"),
    [
        (["chest", "breast"], {"chest": 0, "Chest": 0, "BREAST ": 1, "none": -1, "Neither": -1}),
        (["None", "Some"], {"None": 0, "none": 0, "NONE": 0, "neither": -1, "?": -1}),
        (["none", "None"], {"none": 0, "None": 1, "NONE": None}),
        (["?", "unsure"], {"?": 0, "Unsure": 1, "unclear": -1}),
        (["+ve", "-ve"], {"+ve": 0, "'+ve": 0, "'-VE": 1, "''+ve": None}),
        (["+ve", "'+ve"], {"+ve": 0, "'+ve": 0, "''+ve": 1}),
        (["'+ve", "'"], {"'+ve": 0, "''+ve": 0, "+ve": None, "'": 1}),
        (["\tve", "ve"], {"'\tve": 0, "\tve": 0, "ve": 1, " ve": 1}),
        (["Straße", "na\u00efve"], {"STRASSE": 0, "nai\u0308ve": 1}),
    ],
)
def test_the_exact_name_of_a_class_wins_then_the_only_one_with_other_capitals(classes, answers):
    assert {answer: find_class(answer, classes) for answer in answers} == answers


def test_every_class_is_found_by_its_own_name_as_it_is_and_as_we_write_it():
    classes = ["None", "none", "?", "=1+1", "'=1+1x", "\rx", "a,b", " a", "a", "A", "neither"]
    for form in (str, escape):
        assert [find_class(form(name), classes) for name in classes] == list(range(len(classes)))


def test_a_word_for_no_class_is_offered_that_is_none_of_them():
    assert word_for_no_class(["chest"]) == "neither"
    assert word_for_no_class(["NEITHER", "None"]) == "unsure"
    assert word_for_no_class(NEITHER) == ""
    with pytest.raises(MedlabelError, match=r"'knee' about a.png is .* from Neither, none$"):
        class_of("knee", "a.png", ["Neither"])
