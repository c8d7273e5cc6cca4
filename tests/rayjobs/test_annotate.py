import json
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from support_verdicts import DOUBTFUL, GUESSING

from medlabel.annotation.explain import explain
from medlabel.errors import MedlabelError
from medlabel.experiments.verdicts import read_verdict, write_verdict
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.networks import Student
from rayjobs import annotate as job

OLD = Path(__file__).parents[1] / "bundles/before-0.2"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(0)
    folder = str(tmp_path_factory.mktemp("bundle"))
    student = Student("small", 1, ["chest", "breast"], 28, members=2).eval()
    save_bundle(Store(folder), student, {"bundle_id": "b1", "seed": 3})
    return folder


@pytest.fixture
def scans(tmp_path):
    root = tmp_path / "scans"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        buffer = BytesIO()
        Image.fromarray(rng.integers(0, 256, (40, 30), dtype=np.uint8)).save(buffer, "PNG")
        (root / f"{number}.png").write_bytes(buffer.getvalue())
    (root / "broken.png").write_bytes(b"no image")
    return root


def files(out):
    return {path.name: path.read_bytes() for path in (out / "annotations").iterdir()}


@pytest.mark.usefixtures("ray_cluster")
def test_a_folder_and_an_npz_become_one_table_and_what_is_lost_is_computed_again(
    bundle, scans, dark, tmp_path
):
    out = tmp_path / "out"

    def annotate(*sources, prune=False):
        sources = sources or (str(scans), str(dark))
        return job.annotate_sources(job.AnnotateConfig(sources, bundle, str(out), 0.5, prune=prune))

    first = annotate()
    assert (first.labelled, first.summary.annotations, first.summary.rejects) == (75, 75, 1)
    before, manifest = files(out), Store(str(out)).read_json("annotate.json")
    assert manifest["counts"] == {"images": 76, "annotations": 75, "rejects": 1}
    rejects = pd.read_parquet(out / "rejects.parquet")
    assert rejects["uri"].tolist() == [str(scans / "broken.png")]
    assert (out / "summary" / "index.html").exists()

    gone, damaged, *_ = sorted(before)
    (out / "annotations" / gone).unlink()
    (out / "annotations" / damaged).write_bytes(b"x")
    again = annotate()
    assert 0 < again.labelled < 75
    assert files(out) == before
    assert Store(str(out)).read_json("annotate.json") == manifest
    twice = pq.read_table(out / "annotations" / gone)
    pq.write_table(twice, tmp_path / "other", compression="none")  # of another processor's bits
    data = (tmp_path / "other").read_bytes()
    name = f"{gone.rpartition('-')[0]}-{sha256(data).hexdigest()[:16]}.parquet"
    (out / "annotations" / name).write_bytes(data)
    once = annotate()
    kept = files(out)  # of two files with the same rows, the one whose name comes first
    assert (once.labelled, once.summary.annotations, len(kept)) == (0, 75, len(before))

    rows = pd.read_parquet(out / "annotations")
    assert len(rows) == rows["uri"].nunique() == 75
    one = rows.set_index("uri").loc[str(scans / "3.png")]
    for uri in rows["uri"].sample(10, random_state=0):
        assert explain(Store(str(out)), uri).reproduced
    (scans / "0-new.png").write_bytes((scans / "3.png").read_bytes())
    added = annotate(str(scans))
    assert (added.labelled, added.changes.labels_elsewhere) == (1, 70)
    assert kept.items() <= files(out).items()
    new = explain(Store(str(out)), "0-new.png")
    assert (new.reproduced, new.row["place"]) == (True, 0)
    pruned = annotate(str(scans), prune=True)
    assert (pruned.labelled, pruned.changes.pruned, pruned.summary.annotations) == (0, 70, 6)
    assert "Removed (--prune): 70 labels" in (out / "summary/index.html").read_text()

    loaded = load_bundle(bundle)
    image = loaded.square(np.array(Image.open(scans / "3.png")))
    by_hand = loaded.predict(image[None])[0]
    np.testing.assert_allclose([one["p_chest"], one["p_breast"]], by_hand, atol=1e-6)


def test_other_annotations_are_not_mixed_with_these(bundle, dark, tmp_path):
    config = job.AnnotateConfig((str(dark),), bundle, str(tmp_path / "out"))
    origin = job.Origin.of("b1", load_bundle(bundle).provenance, config.auto_above, "v", "t")
    job.claim(Store(config.out), job._asked(config), origin, job.Listing.of([]))
    other = job.AnnotateConfig((str(dark),), bundle, config.out, auto_above=0.5)
    with pytest.raises(MedlabelError, match="different auto_above"):
        job.annotate_sources(other)


def test_a_threshold_must_be_a_probability(bundle, dark, tmp_path):
    with pytest.raises(MedlabelError, match="between 0 and 1"):
        job.annotate_sources(job.AnnotateConfig((str(dark),), bundle, str(tmp_path), auto_above=95))


@pytest.mark.usefixtures("ray_cluster")
def test_a_new_release_of_a_library_does_not_stop_a_job_that_is_half_done(
    bundle, dark, tmp_path, monkeypatch
):
    config = job.AnnotateConfig((str(dark),), bundle, str(tmp_path / "out"), 0.5)
    job.annotate_sources(config)
    before, manifest = files(tmp_path / "out"), Store(config.out).read_json("annotate.json")
    (tmp_path / "out/annotations" / min(before)).unlink()
    monkeypatch.setattr(job, "versions", lambda: "torch 99")
    again = job.annotate_sources(config)
    after = files(tmp_path / "out")
    assert again.labelled > 0
    assert again.summary.annotations == 70
    assert len(before.keys() & after.keys()) == len(before) - 1
    rows = pd.read_parquet(tmp_path / "out/annotations")
    assert set(rows["versions"]) == {manifest["origin"]["versions"], "torch 99"}
    assert Store(config.out).read_json("annotate.json")["origin"] == manifest["origin"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_bundle_of_the_old_code_annotates(scans, tmp_path):
    config = job.AnnotateConfig((str(scans),), str(OLD), str(tmp_path / "out"), 0.6)
    assert job.annotate_sources(config).summary.annotations == 5
    rows, bundle = pd.read_parquet(tmp_path / "out/annotations"), load_bundle(str(OLD))
    images = np.stack([bundle.square(np.array(Image.open(uri))) for uri in rows["uri"]])
    found = bundle.assess(images)
    np.testing.assert_allclose(rows["p_malignant"], found.probabilities[:, 0], rtol=1e-5)
    np.testing.assert_allclose(rows["ood_score"], found.ood_score, rtol=1e-5)
    assert set(rows["bundle"]) == {bundle.id}
    assert set(rows["recipe"]) == {"robust"}


def test_of_all_annotators_thumbnails_the_least_certain_are_kept():
    layout = job.Layout(job.layout_of(load_bundle(str(OLD))).square, 8192, 256)
    pixels = np.zeros((2, *layout.square.shape), dtype=np.uint8)

    def row(number):
        confidences = [0.5, 0.6 + number / 100]  # the first is the same in all rows: uris decide
        uris = [f"{number:02}-a", f"{number:02}-b"]
        return {
            "labelled": 10,
            "uris": json.dumps(uris),
            "confidences": json.dumps(confidences),
            "squares": (pixels + number).tobytes(),
        }

    images, thumbnails = job._collect(map(row, reversed(range(20))), layout)
    assert images == 200
    certain_enough = [f"{number:02}-b" for number in range(4, 20)]
    assert len(thumbnails) == job.MOST_UNCERTAIN == 24
    assert not thumbnails.keys() & set(certain_enough)
    assert all((image == int(uri[:2])).all() for uri, image in thumbnails.items())


def test_labels_have_the_verdict_on_their_student_unless_they_have_their_own(bundle, tmp_path):
    store, loaded = Store(str(tmp_path)), load_bundle(bundle)
    job._copy_verdict(store, loaded)
    assert read_verdict(store) is None
    judged = replace(loaded, provenance={**loaded.provenance, "verdict": GUESSING.to_json()})
    job._copy_verdict(store, judged)
    assert read_verdict(store) == GUESSING
    write_verdict(store, DOUBTFUL)
    job._copy_verdict(store, judged)
    assert read_verdict(store) == DOUBTFUL
