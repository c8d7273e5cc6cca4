"""The training captions of the phantom CLIP."""

import pytest

from medlabel.phantoms import LOOKS
from medlabel.teacher.captions import CLASS_NAMES, NO_FINDING, SET_CAPTIONS, captions_for
from medlabel.teacher.phantom_captions import kind_paraphrases, set_paraphrases

FLAGS = sorted(SET_CAPTIONS)


@pytest.mark.parametrize("flag", FLAGS)
def test_the_tables_captions_are_trained_on(flag):
    assert set(SET_CAPTIONS[flag]) <= set(set_paraphrases(flag)[0])
    for label in range(len(CLASS_NAMES[flag])):
        assert captions_for(flag, flag=flag, label=label) == kind_paraphrases(flag, label)[0]


@pytest.mark.parametrize("flag", FLAGS)
def test_every_kind_is_told_in_several_ways_and_unlike_any_other(flag):
    captions = [
        {text for group in kind_paraphrases(flag, kind) for text in group}
        for kind in range(len(LOOKS[flag].kinds))
    ]
    assert min(map(len, captions)) >= 10
    assert sum(map(len, captions)) == len(set().union(*captions))


def test_an_image_without_a_finding_is_told_of_too():
    assert kind_paraphrases("chestmnist", 14)[0] == NO_FINDING["chestmnist"]
