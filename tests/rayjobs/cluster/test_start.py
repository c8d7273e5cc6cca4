"""Ray as it is started here: in a folder with alien modules, by a user without a home directory.

The fixture `ray_cluster` starts it so for all tests.
"""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

from medlabel.errors import MedlabelError
from rayjobs import joined_address
from rayjobs.cluster import connect, one_line_errors, start
from rayjobs.image_pipeline import finished_rows, one_block_per_item

pytestmark = pytest.mark.usefixtures("ray_cluster")
OPEN = {"00000000", "0" * 32}  # 0.0.0.0 and ::, as /proc/net/tcp writes them


def sockets_of(pid):
    """Inodes of a process's sockets."""
    folder = f"/proc/{pid}/fd"
    links = (os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder))
    return {link[8:-1] for link in links if link.startswith("socket:[")}


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's table of sockets")
def test_no_part_of_ray_listens_beyond_loopback():
    worker = ray.remote(num_cpus=0)(type("Worker", (), {"ready": lambda self: True})).remote()
    assert ray.get(worker.ready.remote())  # it listens too, for as long as it is held
    session = ray._private.worker._global_node.get_session_dir_path()
    found = subprocess.run(["pgrep", "-f", session], capture_output=True, text=True).stdout
    inodes = set().union(*(sockets_of(pid) for pid in found.split()))
    listening = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].split(":")[0])
    assert len(listening) >= 3  # the cluster's store of metadata, the node, the worker
    assert not OPEN & set(listening)
    assert ray.nodes()[0]["NodeManagerAddress"] == "127.0.0.1"


def test_ray_asks_for_a_token():
    code = "import ray; ray.init(address={!r}, logging_level=50)"
    done = subprocess.run(
        [sys.executable, "-c", code.format(ray.get_runtime_context().gcs_address)],
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "guessed" * 8},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0


def test_connecting_twice_is_connecting_once():
    address = ray.get_runtime_context().gcs_address
    connect()
    assert ray.get_runtime_context().gcs_address == address


def test_workers_import_the_real_modules_and_the_working_directory_last():
    @ray.remote(num_cpus=0)
    def look():
        import token

        import fsspec
        import numpy

        import medlabel
        import rayjobs
        import serving

        modules = (token, fsspec, numpy, medlabel, rayjobs, serving)
        return os.getcwd(), sys.path, [module.__file__ for module in modules]

    here, path, found = ray.get(look.remote())
    assert (Path(here) / "numpy.py").exists()
    assert [file for file in found if file.startswith(here)] == []
    assert path.index(here) > max(path.index(entry) for entry in sys.path if entry in path)


def test_what_ray_writes_of_a_dead_worker_goes_into_its_log(capfd):
    @ray.remote(max_retries=0)
    def die():
        os.kill(os.getpid(), 9)

    log = Path(ray._private.worker._global_node.get_logs_dir_path()) / "medlabel-errors.log"
    before = log.read_text() if log.exists() else ""
    with pytest.raises(MedlabelError) as raised, one_line_errors("embedding"):
        ray.get(die.remote())
    assert str(raised.value) == (
        "embedding failed: a worker process died; the system may have stopped it. What is finished "
        "is kept; run the same command to go on, with fewer --workers if it happens again"
    )
    end = time.monotonic() + 30
    while "A worker died or was killed" not in log.read_text().removeprefix(before):
        assert time.monotonic() < end, "Ray wrote nothing"
        time.sleep(0.1)
    assert capfd.readouterr() == ("", "")


def test_the_reason_survives_the_way_from_a_worker_of_a_pipeline(capfd):
    def write(row):
        raise OSError(errno.ENOSPC, "No space left on device", "/out/a.parquet")

    failing = one_block_per_item([{"images": 1}]).map(write)
    with pytest.raises(MedlabelError) as raised:
        list(finished_rows(failing, 1, "annotating", lambda *_: None))
    assert str(raised.value) == (
        "annotating failed: /out/a.parquet: No space left on device. What is finished is kept; "
        "correct this, then run the same command to go on"
    )
    assert capfd.readouterr() == ("", "")


def test_an_empty_address_starts_a_ray_of_our_own(monkeypatch):
    for text in ("", " ", "local"):
        monkeypatch.setenv("RAY_ADDRESS", text)
        assert joined_address() is None
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert joined_address() == "auto"


def test_a_working_directory_that_was_removed_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(MedlabelError, match="the working directory was removed"):
        start._check_working_directory()


def test_a_ray_that_cannot_start_says_what_helps(monkeypatch):
    def fail(**settings):
        raise RuntimeError("The node did not start. See the logs.\nmore")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(MedlabelError, match="started: The node did not start; run again, and see"):
        start._start_or_join(None)
    monkeypatch.setattr(start, "_check_answers", lambda address: None)
    with pytest.raises(MedlabelError, match=r"joined at 10\.0\.0\.1:6379: .* unset RAY_ADDRESS"):
        start._start_or_join("10.0.0.1:6379")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "localhost", "no-such-host.invalid:6379"])
def test_an_address_where_nothing_answers_is_not_waited_for(address):
    with pytest.raises(MedlabelError, match=f"joined at {address}: .*; see that it runs"):
        start._start_or_join(address)
