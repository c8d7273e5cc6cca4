import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support import write_npz
from support_images import image_folder

from medlabel.data.listing import list_all_parts, list_parts
from medlabel.data.sources import open_source
from medlabel.data.tasks import source_image
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.teacher.embeddings import EmbeddingTable
from rayjobs import embed as job
from rayjobs.cluster import capacity

IDS = ["dark/train/3", "dark/val/1", "bright/train/3", "bright/val/1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, save_clip

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    save_clip(build_clip(PretrainingConfig()), folder)
    return str(folder)


@pytest.fixture(scope="module")
def clip(folder):
    from medlabel.teacher.clip import load_clip

    return load_clip(folder, "cpu")


@pytest.fixture
def sampled(dark, bright):
    sources = {str(path): open_source(str(path)) for path in (dark, bright)}
    return {image_id: source_image(sources, image_id) for image_id in IDS}


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_encodes_each_image_once_and_like_by_hand(clip, sampled, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "SHARD_SIZE", 2)
    table = EmbeddingTable(Store(str(tmp_path)), clip.key)
    some = dict(list(sampled.items())[:3])
    progress = []
    assert job.embed_sampled(clip, some, table)[1] == 3
    twice = sampled | {"another/name/0": sampled[IDS[0]]}
    embeddings, encoded = job.embed_sampled(clip, twice, table, lambda *p: progress.append(p))
    assert (encoded, progress[-1]) == (1, (1, 1))
    by_hand = clip.embed_images(np.stack([*sampled.values(), sampled[IDS[0]]]))
    np.testing.assert_allclose(embeddings, by_hand, atol=1e-3)


@pytest.mark.usefixtures("ray_cluster")
def test_sources_become_one_table_and_only_what_is_missing_is_encoded(
    folder, dark, bright, tmp_path
):
    def embed(*sources):
        return job.embed_sources(
            job.EmbedConfig(
                tuple(map(str, sources)), str(tmp_path / "out"), tmp_path / "home", (folder,)
            )
        )[0]

    copy = write_npz(tmp_path / "copy.npz", level=60)  # the same images as dark's
    first = embed(dark)
    both = embed(dark, bright, copy)
    again = embed(dark, bright, copy)
    assert (first.images, first.encoded, first.rejected) == (70, 70, 0)
    assert (both.images, both.distinct, both.encoded, both.reused) == (210, 140, 70, 140)
    assert (again.encoded, again.workers) == (0, 0)
    (table,) = (tmp_path / "out").glob("model=*")
    rows = pq.read_table(table).to_pandas().set_index("image_id")["embedding"]
    assert len(rows) == 210
    np.testing.assert_array_equal(rows["dark/train/3"], rows["copy/train/3"])


@pytest.mark.usefixtures("ray_cluster")
def test_a_damaged_shard_is_computed_again_and_is_the_same(folder, dark, tmp_path):
    def embed(out):
        config = job.EmbedConfig((str(dark),), str(tmp_path / out), tmp_path / "home", (folder,))
        (summary,) = job.embed_sources(config)
        return summary.encoded, pq.read_table(tmp_path / out / f"model={key(tmp_path)}")

    def key(root):
        return next((root / "home" / "embeddings").iterdir()).name.removeprefix("model=")

    _, before = embed("a")
    shard = next((tmp_path / "home" / "embeddings").rglob("shard-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    encoded, after = embed("b")
    assert 0 < encoded < 70
    assert after.sort_by("image_id").equals(before.sort_by("image_id"))


def test_the_embeddings_of_another_source_of_the_same_name_are_not_replaced(tmp_path):
    out = Store(str(tmp_path / "out"))
    ward1, ward2 = (image_folder(tmp_path / ward / "images") for ward in ("ward1", "ward2"))
    places = job._claim(out, list_parts(str(ward1)))
    assert places == {"images": str(ward1)}
    out.write_json("embed.json", {"models": [], "places": places})
    assert job._claim(out, list_parts(str(ward1))) == places
    config = job.EmbedConfig((str(ward2),), out.uri, tmp_path / "home")
    with pytest.raises(MedlabelError, match="holds embeddings of another source called images"):
        job.embed_sources(config)
    assert job._claim(out, list_all_parts([str(ward1), str(ward2)])).keys() == {
        "images", "ward1/images", "ward2/images",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("resources", "replicas", "expected"),
    [
        ({"CPU": 8.0}, job.Replicas(), (8, 0.0, 64)),
        ({"CPU": 8.0}, job.Replicas(workers=3, batch_size=16), (3, 0.0, 16)),
        ({"CPU": 8.0, "GPU": 2.0}, job.Replicas(), (2, 1.0, 256)),
        ({"CPU": 8.0, "GPU": 2.0}, job.Replicas(gpus=0.25), (8, 0.25, 256)),
        ({"CPU": 8.0, "GPU": 2.0}, job.Replicas(gpus=0.0), (8, 0.0, 64)),
        ({"CPU": 8.0, "GPU": 2.0}, job.Replicas(gpus=0.6), (2, 0.6, 256)),
        ({"CPU": 1.0}, job.Replicas(), (1, 0.0, 64)),
    ],
)
def test_replicas_fit_the_cluster(monkeypatch, resources, replicas, expected):
    monkeypatch.setattr(capacity, "cluster_nodes", lambda: [resources])
    assert replicas.fitted(shards=100) == expected
    assert replicas.fitted(shards=1)[0] == 1


@pytest.mark.parametrize(
    ("replicas", "reason"),
    [
        (job.Replicas(workers=4), r"4 workers need 0\.5 CPUs each, and the cluster can hold 3: 1"),
        (job.Replicas(gpus=2.5), "a whole number, or a share smaller than one"),
        (job.Replicas(workers=3, gpus=0.6), r"can hold 1: 1 node \(2 CPUs and 1 GPU\)"),
        (job.Replicas(gpus=2), r"a worker needs 0\.125 CPUs and 2 GPUs on one node, and"),
    ],
)
def test_more_replicas_than_the_cluster_can_hold_are_refused(monkeypatch, replicas, reason):
    monkeypatch.setattr(capacity, "cluster_nodes", lambda: [{"CPU": 2.0, "GPU": 1.0}])
    monkeypatch.setattr(capacity, "_is_own", lambda: True)
    if replicas.gpus is None:
        replicas = job.Replicas(replicas.workers, gpus=0.0)
    with pytest.raises(MedlabelError, match=reason):
        replicas.fitted(shards=100)


@pytest.mark.parametrize("wrong", [{"clips": ("no-such",)}, {"precision": "fp8"}])
def test_a_mistyped_model_is_an_error_before_anything_is_read(tmp_path, wrong):
    config = job.EmbedConfig((str(tmp_path / "absent"),), str(tmp_path / "out"), tmp_path, **wrong)
    with pytest.raises(MedlabelError, match="unknown"):
        job.embed_sources(config)
