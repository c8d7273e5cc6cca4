"""Embedding through Ray Data: bad files among good ones, a killed driver, and GPUs shared out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from broken_images import broken_files, good_files
from support import write_npz

from medlabel.teacher.phantom_clip import PretrainingConfig, build_clip, save_clip
from rayjobs import embed as job

pytestmark = pytest.mark.timeout(600)  # several clusters start, one after the other


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    save_clip(build_clip(PretrainingConfig()), folder)
    return str(folder)


def table_of(out: Path):
    (folder,) = out.glob("model=*")
    return pq.read_table(folder).sort_by("image_id")


@pytest.mark.usefixtures("ray_cluster")
def test_of_two_thousand_good_files_and_two_hundred_bad_ones_none_is_lost(clip_folder, tmp_path):
    root = tmp_path / "scans"
    root.mkdir()
    good = {name: data for _, name, data in good_files(2000)}
    bad = {name: (kind, data) for kind, name, data in broken_files(20)}
    assert len({kind for kind, _ in bad.values()}) == 10
    for name, data in [*good.items(), *((name, data) for name, (_, data) in bad.items())]:
        (root / name).write_bytes(data)
    os.mkfifo(root / "pipe")
    (root / "gone").symlink_to("nothing")
    (root / "again").symlink_to(root)
    out = root / "out"  # within the source, as the cache is
    config = job.EmbedConfig((str(root),), str(out), root / "home", (clip_folder,))
    (summary,) = job.embed_sources(config)
    assert (summary.images, summary.encoded, summary.rejected) == (2202, 2000, 202)
    ids = table_of(out).column("image_id").to_pylist()
    assert sorted(ids) == sorted(f"scans/all/{name}" for name in good)
    rejects = pq.read_table(out / "rejects.parquet").to_pydict()
    assert sorted(rejects["image_id"]) == sorted(
        f"scans/all/{name}" for name in [*bad, "pipe", "gone"]
    )
    assert all(rejects["reason"])


@pytest.mark.usefixtures("ray_cluster")
def test_a_killed_driver_goes_on_and_the_table_is_the_same(clip_folder, tmp_path):
    path = write_npz(tmp_path / "many.npz", n=4_000)

    def asked(home):
        alone = job.Replicas(workers=1)
        return job.EmbedConfig((str(path),), f"{home}/out", home, (clip_folder,), replicas=alone)

    code = (
        "import sys; from pathlib import Path; from rayjobs import embed as job\n"
        "job.embed_sources(job.EmbedConfig((sys.argv[1],), sys.argv[2] + '/out', Path(sys.argv[2]),"
        " (sys.argv[3],), replicas=job.Replicas(workers=1)))"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "killed"), clip_folder]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    while killed.poll() is None and not list((tmp_path / "killed").rglob("shard-*.parquet")):
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    shards = list((tmp_path / "killed").rglob("shard-*.parquet"))
    kept = sum(pq.read_metadata(shard).num_rows for shard in shards)
    (again,), (calm,) = (job.embed_sources(asked(tmp_path / name)) for name in ("killed", "calm"))
    assert calm.encoded == 7_000
    assert again.encoded <= 7_000 - kept < 7_000
    assert table_of(tmp_path / "killed" / "out").equals(table_of(tmp_path / "calm" / "out"))


GPUS = """
import json, sys, time
from pathlib import Path
import ray
ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, logging_level="ERROR")
from rayjobs import embed as job

class Telling(job.Encoder):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        name = ray.get_runtime_context().get_actor_id()
        (FOLDER / f'gpu-{name}').write_text(json.dumps(ray.get_gpu_ids()))
        time.sleep(2)

job.Encoder = Telling
for share in sys.argv[4:]:
    FOLDER = Path(sys.argv[2]) / share
    FOLDER.mkdir()
    config = job.EmbedConfig((sys.argv[1],), f"{FOLDER}/out", FOLDER, (sys.argv[3],),
                          replicas=job.Replicas(gpus=float(share), batch_size=64))
    (summary,) = job.embed_sources(config)
    print(json.dumps([summary.workers, summary.encoded]))
"""


def test_each_replica_has_its_share_of_a_gpu(clip_folder, tmp_path):
    path = write_npz(tmp_path / "many.npz", n=2_500)
    done = subprocess.run(
        [sys.executable, "-c", GPUS, str(path), str(tmp_path), clip_folder, "1.0", "0.5"],
        capture_output=True,
        check=True,
        env={**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
    )
    printed = [json.loads(line) for line in done.stdout.splitlines()[-2:]]
    expected = {"1.0": [0, 1], "0.5": [0, 0, 1, 1]}
    for said, (share, replicas) in zip(printed, expected.items(), strict=True):
        told = [json.loads(file.read_text()) for file in (tmp_path / share).glob("gpu-*")]
        assert said == [len(replicas), 4375]
        assert sorted(int(ids[0]) for ids in told) == replicas
        assert all(len(ids) == 1 for ids in told)
