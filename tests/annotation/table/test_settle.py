"""What becomes of labels when files, sources and folders change between runs."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support_annotations import grey_folder
from support_images import png

from benchmarks.local_annotation import annotate_here, brightness, rejects_of, rows_of
from medlabel.annotation.table import MANIFEST, AnnotationTable, Changes, Layout
from medlabel.data.decoding import Fault, ImageError
from medlabel.data.framing import CentreSquare
from medlabel.data.listing import FilesPart, list_parts
from medlabel.data.listing.parts import UNREADABLE
from medlabel.data.listing.rejects import rejects_part
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store


@pytest.fixture
def folder(tmp_path):
    return grey_folder(tmp_path / "scans")


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "out"))


def files(store):
    return {path.name: path.read_bytes() for path in Path(store.path("annotations")).iterdir()}


def many(root, count, start=0):
    root.mkdir(exist_ok=True)
    for number in range(start, start + count):
        (root / f"{number:05}.png").write_bytes(png(number % 256))
    return root


def counts(store):
    found = store.read_json(MANIFEST)["counts"]
    assert found["images"] == found["annotations"] + found["rejects"]
    return found["annotations"], found["rejects"]


def test_a_second_run_reads_nothing_and_writes_nothing(folder, store):
    first = annotate_here(store, [str(folder)])
    before, manifest = files(store), store.read_json(MANIFEST)
    again = annotate_here(store, [str(folder)])
    assert (first.read, again.read, counts(store)) == (6, 0, (5, 1))
    assert (files(store), store.read_json(MANIFEST)) == (before, manifest)


def test_one_file_that_is_added_costs_one_file(store, tmp_path):
    """Among 1,300 files the new one comes first, so that no file keeps its number."""
    scans = many(tmp_path / "scans", 1300)
    large = Layout(CentreSquare(28, 1), rows=512, batch=256)
    annotate_here(store, [str(scans)], layout=large)
    before = files(store)
    (scans / "a-new.png").write_bytes(png(7))
    (scans / "00000-new.png").write_bytes(png(8))
    found = annotate_here(store, [str(scans)], layout=large)
    assert (found.read, found.changes, counts(store)) == (2, Changes(), (1302, 0))
    assert before.items() <= files(store).items()


def test_another_source_is_added_and_nothing_is_lost(folder, store, tmp_path):
    other = many(tmp_path / "other", 3)
    annotate_here(store, [str(folder)])
    found = annotate_here(store, [str(other)])
    assert (found.labelled, found.changes.labels_elsewhere, counts(store)) == (3, 5, (8, 1))
    assert found.changes.sentences() == [
        "Kept: 5 labels of images that were not found now; --prune removes those that are gone."
    ]
    asked = store.read_json(MANIFEST)["asked"]
    assert [one["sources"] for one in asked] == [[str(folder)], [str(other)]]
    both = annotate_here(store, [str(folder), str(other)])
    assert (both.read, both.changes) == (0, Changes())


def test_labels_of_files_that_are_gone_are_kept_until_they_are_pruned(folder, store):
    annotate_here(store, [str(folder)])
    (folder / "1.png").unlink()
    (folder / "2.png").unlink()  # without a label: nothing to keep
    kept = annotate_here(store, [str(folder)])
    assert (kept.changes.labels_elsewhere, counts(store)) == (1, (5, 0))
    pruned = annotate_here(store, [str(folder)], prune=True)
    assert (pruned.changes, counts(store)) == (Changes(pruned=1), (4, 0))
    assert pruned.changes.sentences() == [
        "Removed (--prune): 1 label of images that the sources do not hold."
    ]


def test_a_file_that_has_changed_is_labelled_again(folder, store):
    annotate_here(store, [str(folder)])
    (folder / "0.png").write_bytes((folder / "5.png").read_bytes())
    found = annotate_here(store, [str(folder)])
    assert (found.read, found.changes, counts(store)) == (1, Changes(replaced=1), (5, 1))
    row = rows_of(store)[f"{folder}/0.png"]
    assert (row["label"], row["place"]) == ("bright", 0)


def test_a_file_that_is_as_it_was_keeps_its_row_though_its_time_has_changed(folder, store):
    annotate_here(store, [str(folder)])
    before = rows_of(store)
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    found = annotate_here(store, [str(folder)])
    assert (found.read, found.labelled, rows_of(store)) == (6, 0, before)
    assert annotate_here(store, [str(folder)]).read == 0
    os.utime(folder / "1.png", (2, 2))
    assert annotate_here(store, [str(folder)]).read == 1
    assert annotate_here(store, [str(folder)]).read == 0
    assert rows_of(store) == before


def test_a_confirmation_does_not_stand_for_a_row_that_is_lost(folder, store):
    annotate_here(store, [str(folder)])
    (row_file,) = [name for name in files(store) if "-0000000000-" in name]
    os.utime(folder / "1.png", (1, 1))
    annotate_here(store, [str(folder)])
    store.remove(f"annotations/{row_file}")
    assert annotate_here(store, [str(folder)]).read == 4
    assert counts(store) == (5, 1)


def failing(part, names):
    """A part some of whose files cannot be read, like those of a share that is gone."""

    class Failing(FilesPart):
        def read(self, rows=None):
            for name, content in zip(self.names, super().read(), strict=True):
                error = ImageError(Fault.DAMAGED, f"{UNREADABLE}: Input/output error")
                yield error if name in names else content

    return Failing(**vars(part))


def test_what_could_not_be_read_is_tried_again_and_nothing_else(folder, store):
    (part,) = list_parts(str(folder))
    annotate_here(store, [failing(part, ["1.png", "4.png"])])
    assert counts(store) == (3, 3)
    again = annotate_here(store, [failing(part, ["4.png"])])
    assert (again.read, counts(store)) == (2, (4, 2))
    assert annotate_here(store, [str(folder)]).read == 1
    assert counts(store) == (5, 1)


def test_a_label_is_not_lost_because_its_file_cannot_be_read_any_more(folder, store):
    annotate_here(store, [str(folder)])
    (folder / "1.png").write_bytes(png(9))
    (part,) = list_parts(str(folder))
    found = annotate_here(store, [failing(part, ["1.png"])])
    assert (found.changes, counts(store)) == (Changes(outdated=1), (5, 1))
    assert found.changes.sentences() == ["Kept: 1 label of files that cannot be read now."]
    assert annotate_here(store, [str(folder)]).changes == Changes(replaced=1)


def test_a_label_is_not_lost_because_the_listing_finds_its_file_unreadable(folder, store):
    """A link to a share that is gone, or a file without the permission to read it."""
    annotate_here(store, [str(folder)])
    there, link = folder.parent / "share.png", folder / "1.png"
    link.rename(there)
    link.symlink_to(there)
    assert annotate_here(store, [str(folder)]).labelled == 0
    before = rows_of(store)
    there.rename(folder.parent / "away.png")
    found = annotate_here(store, [str(folder)])
    assert (found.labelled, found.changes, counts(store)) == (0, Changes(outdated=1), (5, 1))
    again = annotate_here(store, [str(folder)], prune=True)
    assert (again.read, again.changes, rows_of(store)) == (0, Changes(outdated=1), before)
    (folder.parent / "away.png").rename(there)
    back = annotate_here(store, [str(folder)])
    assert (back.labelled, back.changes, rows_of(store)) == (0, Changes(), before)


def unlisted(folder, name):
    """The parts of a folder one of whose subfolders cannot be listed."""
    (part,) = list_parts(str(folder))
    rows = [row for row in range(part.count) if not part.names[row].startswith(f"{name}/")]
    rejects = rejects_part(part.source, part.root, {name: "cannot be read: Permission denied"})
    return [part.only(np.array(rows)), rejects]


def test_labels_in_a_folder_that_cannot_be_listed_are_kept_and_not_pruned(folder, store):
    many(folder / "ward", 3)
    (folder / "ward/broken.png").write_bytes(b"x")
    annotate_here(store, [str(folder)])
    found = annotate_here(store, unlisted(folder, "ward"))
    assert (found.changes.labels_elsewhere, counts(store)) == (3, (8, 3))
    assert rejects_of(store)[f"{folder}/ward"] == "cannot be read: Permission denied"
    assert annotate_here(store, unlisted(folder, "ward")).read == 0
    with pytest.raises(MedlabelError, match=r"--prune: .*/ward cannot be read"):
        annotate_here(store, unlisted(folder, "ward"), prune=True)
    assert counts(store) == (8, 3)
    back = annotate_here(store, [str(folder)])
    assert (back.read, back.changes, counts(store)) == (0, Changes(), (8, 2))


def test_labels_of_a_parquet_file_that_cannot_be_read_are_not_pruned(folder, store):
    table = folder / "t.parquet"
    pq.write_table(pa.table({"image": [png(9), png(250)]}), table)
    annotate_here(store, [str(folder)])
    table.write_bytes(table.read_bytes()[:-5])
    found = annotate_here(store, [str(folder)])
    assert (found.changes.labels_elsewhere, counts(store)) == (2, (7, 2))
    with pytest.raises(MedlabelError, match=r"--prune: .*/t.parquet cannot be read"):
        annotate_here(store, [str(folder)], prune=True)
    table.unlink()
    assert annotate_here(store, [str(folder)], prune=True).changes.pruned == 2


def test_nothing_is_pruned_where_a_source_holds_no_image(folder, store):
    annotate_here(store, [str(folder)])
    nothing = rejects_part("scans", str(folder), {"": "cannot be read: Input/output error"})
    with pytest.raises(MedlabelError, match="--prune: no image was found in scans"):
        annotate_here(store, [nothing], prune=True)
    assert counts(store) == (5, 1)


def test_a_file_that_is_no_image_any_more_is_a_reject(folder, store):
    annotate_here(store, [str(folder)])
    (folder / "1.png").write_bytes(b"broken")
    annotate_here(store, [str(folder)])
    assert (sorted(rejects_of(store)), counts(store)) == (
        [f"{folder}/1.png", f"{folder}/2.png"], (4, 2),
    )  # fmt: skip


@pytest.mark.parametrize("kills", [[[0]], [[2]], [[1], [0]], [[1, 2]], [[], [1]], [[0, 1, 2]]])
def test_a_run_that_is_killed_ends_with_the_same_files(store, tmp_path, kills):
    """Pieces are finished in any order: each list holds those that a run finishes."""
    scans = many(tmp_path / "scans", 11)
    undisturbed = Store(str(tmp_path / "undisturbed"))
    annotate_here(undisturbed, [str(scans)])
    for killed_after in kills:
        with pytest.raises(KeyboardInterrupt):
            annotate_here(store, [str(scans)], killed_after=killed_after)
    annotate_here(store, [str(scans)])
    assert files(store) == files(undisturbed)
    assert store.read_json(MANIFEST) == undisturbed.read_json(MANIFEST)


def test_a_run_that_is_killed_before_a_row_is_replaced_leaves_one_row_later(
    folder, store, monkeypatch
):
    annotate_here(store, [str(folder)])
    (folder / "0.png").write_bytes((folder / "5.png").read_bytes())
    with monkeypatch.context() as killed:
        killed.setattr(AnnotationTable, "keep", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            annotate_here(store, [str(folder)])
    assert len(AnnotationTable(store).pieces()) == 3  # two rows of one image
    (folder / "0.png").unlink()  # so that the listing cannot say which is right: the newer one
    found = annotate_here(store, [str(folder)])
    assert (found.read, found.changes.labels_elsewhere, counts(store)) == (0, 1, (5, 1))
    assert rows_of(store)[f"{folder}/0.png"]["label"] == "bright"


def test_two_sources_that_overlap_label_an_image_once(folder, store):
    found = annotate_here(store, [str(folder), str(folder / "*.png")])
    assert (found.read, counts(store)) == (6, (5, 1))


def test_two_runs_at_the_same_time_lose_nothing(folder, store, tmp_path):
    """The second one lists, labels and finishes while the first one is labelling."""
    other, inner = many(tmp_path / "other", 6), []

    def student(images, chroma):
        if not inner:
            inner.append(True)
            annotate_here(store, [str(other), str(folder)])
        return brightness(images)

    found = annotate_here(store, [str(folder)], assess=student)
    assert (found.changes.labels_elsewhere, counts(store)) == (6, (11, 1))
    assert len(store.read_json(MANIFEST)["asked"]) == 2
    assert annotate_here(store, [str(other), str(folder)]).read == 0


def test_images_that_were_lost_are_an_error(folder, store, monkeypatch):
    annotate_here(store, [str(folder)])
    monkeypatch.setattr(AnnotationTable, "write", lambda *_: 0)
    (folder / "new.png").write_bytes(png(3))
    with pytest.raises(MedlabelError, match="7 images came in, 5 annotations and 1 rejects went"):
        annotate_here(store, [str(folder)])
