import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from rayjobs.cluster import connect

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
