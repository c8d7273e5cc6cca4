"""What a Ray of our own needs of a machine that lacks it; Ray is not started."""

import os
import sys

import pytest
from ray._private import utils

from rayjobs.cluster import own_ray
from rayjobs.cluster.own_ray import Job, clean_python_path, cpus, ensure_token, worker_paths


@pytest.mark.parametrize(("found", "expected"), [(0.5, 1), (0.1, 1), (1.5, None), (8, None)])
def test_a_share_of_a_cpu_counts_as_one(monkeypatch, caplog, found, expected):
    """As with `docker run --cpus 0.5`."""
    monkeypatch.setattr(utils, "_get_docker_cpus", lambda: found)
    assert cpus() == expected
    assert caplog.messages == []


@pytest.fixture
def no_token(monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")  # so that it is restored after the test


def test_a_token_is_made_where_ray_can_keep_none(monkeypatch, no_token, tmp_path):
    (tmp_path / "file").write_text("")
    for home in (None, "", str(tmp_path / "file"), "/proc", "/nonexistent"):
        monkeypatch.setenv("RAY_AUTH_TOKEN", "")
        monkeypatch.delenv("HOME", raising=False)
        if home is not None:
            monkeypatch.setenv("HOME", home)
        ensure_token()
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_the_users_token_is_kept(monkeypatch, no_token, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    ensure_token()  # Ray will write one there
    assert os.environ["RAY_AUTH_TOKEN"] == ""
    (tmp_path / ".ray" / "auth_token").write_text("users own")
    ensure_token()
    assert os.environ["RAY_AUTH_TOKEN"] == ""
    (tmp_path / ".ray" / "auth_token").write_text("")  # Ray could not read it
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "elsewhere"))
    ensure_token()
    assert os.environ["RAY_AUTH_TOKEN"] == ""
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ensure_token()
    assert os.environ["RAY_AUTH_TOKEN"] == ""


def test_workers_import_from_the_working_directory_last(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), "", "relative", *sys.path])
    paths = worker_paths(own=True)
    assert paths[-1] == str(tmp_path)
    assert paths.count(str(tmp_path)) == 1
    assert "" not in paths
    assert "relative" not in paths
    assert paths[:-1] == list(dict.fromkeys(path for path in sys.path[3:] if path))
    sent = Job(paths)
    sent._py_driver_sys_path.append(str(tmp_path))  # as Ray does
    # a worker puts one after the other in front of its path
    assert list(sent._get_proto_job_config().py_driver_sys_path) == paths[::-1]


def test_a_checkout_that_is_the_working_directory_comes_first(monkeypatch):
    root = own_ray._root(own_ray.rayjobs)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", [root, "/usr/lib"])
    paths = worker_paths(own=True)
    assert paths.index(root) < paths.index("/usr/lib")


def test_nodes_of_a_joined_cluster_are_sent_a_checkout_but_no_installed_packages(monkeypatch):
    monkeypatch.setattr(own_ray.sysconfig, "get_path", lambda name: "/elsewhere")
    assert worker_paths(own=False)[-1] == own_ray._root(own_ray.rayjobs)
    monkeypatch.setattr(own_ray, "_root", lambda module: "/elsewhere")
    assert worker_paths(own=False) == []


def test_the_working_directory_is_off_the_python_path_while_ray_starts(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for before, during in (
        (f":/a{os.pathsep}.{os.pathsep}{tmp_path}", "/a"),
        ("", ""),
        ("/a:/b", "/a:/b"),
    ):
        monkeypatch.setenv("PYTHONPATH", before)
        with clean_python_path():
            assert os.environ["PYTHONPATH"] == during
        assert os.environ["PYTHONPATH"] == before
    monkeypatch.delenv("PYTHONPATH")
    with clean_python_path():
        assert "PYTHONPATH" not in os.environ
