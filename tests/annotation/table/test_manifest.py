import json
from dataclasses import replace

import pytest

from benchmarks.local_annotation import ORIGIN
from medlabel.annotation.table import MANIFEST, Listing, claim
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.versions import ANNOTATION

NOTHING, ASKED = Listing.of([]), {"sources": ["/scans"], "bundle": "/b"}


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path))
    claim(store, ASKED, ORIGIN, NOTHING)
    return store


def test_the_same_annotations_go_on_with_the_origin_of_the_first_run(store):
    later = replace(ORIGIN, time="2027", versions="medlabel 2")
    assert claim(store, ASKED, later, NOTHING) == (ORIGIN, 1)
    assert claim(store, {**ASKED, "sources": ["/more"]}, later, NOTHING).origin == ORIGIN
    asked = [one["sources"] for one in store.read_json(MANIFEST)["asked"]]
    assert asked == [["/scans"], ["/more"]]


def test_a_run_of_other_files_has_a_number_of_its_own(store):
    other = replace(NOTHING, identities=NOTHING.identities, parts=())
    assert claim(store, ASKED, ORIGIN, other).generation == 1
    facts = store.read_json(MANIFEST) | {"listing": "other"}
    store.write_json(MANIFEST, facts)
    assert claim(store, ASKED, ORIGIN, NOTHING).generation == 2
    assert claim(store, ASKED, ORIGIN, NOTHING).generation == 2


@pytest.mark.parametrize("name", ["preprocessing", "decisions"])
def test_a_table_is_not_continued_by_code_that_gives_other_results(store, name):
    with pytest.raises(MedlabelError, match="different code_versions"):
        claim(store, ASKED, ORIGIN, NOTHING, {**ANNOTATION, name: 99})


def test_another_student_is_refused(store):
    with pytest.raises(MedlabelError, match="different weights"):
        claim(store, ASKED, replace(ORIGIN, weights="0"), NOTHING)


def test_a_table_of_an_earlier_layout_is_refused(store):
    facts = store.read_json(MANIFEST)
    del facts["layout"], facts["generation"], facts["listing"]
    store.write(MANIFEST, json.dumps(facts | {"asked": ASKED}).encode())
    with pytest.raises(MedlabelError, match="of an earlier version of medlabel, which cannot be"):
        claim(store, ASKED, ORIGIN, NOTHING)
