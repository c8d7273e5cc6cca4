"""`cluster.yaml` is one that Ray accepts, and it leaves no door open."""

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

CLUSTER = Path(__file__).parents[1] / "cluster.yaml"
ON_PREMISES = {
    "provider": {"type": "local", "head_ip": "10.0.0.10", "worker_ips": ["10.0.0.11"]},
    "auth": {"ssh_user": "ubuntu", "ssh_private_key": "~/.ssh/id_ed25519"},
    "max_workers": 1,
}


@pytest.fixture
def cluster():
    return yaml.safe_load(CLUSTER.read_text())


def test_ray_accepts_it(cluster):
    validate_config(prepare_config(cluster))


def test_ray_accepts_its_variant_for_ones_own_machines(cluster):
    for key in ("available_node_types", "head_node_type"):
        del cluster[key]
    validate_config(prepare_config(cluster | ON_PREMISES))


def test_ray_refuses_a_misspelt_one(cluster):
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(prepare_config(cluster | {"max_wrokers": 3}))


def test_every_node_asks_for_the_token(cluster):
    starts = [
        command
        for role in ("head", "worker")
        for command in cluster[f"{role}_start_ray_commands"]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    assert "~/.ray/auth_token" in cluster["file_mounts"].values()


def test_nothing_listens_to_the_internet(cluster):
    assert "0.0.0.0" not in CLUSTER.read_text()
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][-1]
    assert cluster["provider"]["use_internal_ips"]
    for node in cluster["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"]  # else Ray makes one that is open


def test_it_runs_the_ray_that_is_tested(cluster):
    pins = (CLUSTER.parent / "constraints.txt").read_text().splitlines()
    ray = next(pin for pin in pins if pin.startswith("ray=="))
    assert f":{ray.removeprefix('ray==')}-" in cluster["docker"]["image"]
