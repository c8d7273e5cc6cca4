"""HAProxy is kept to loopback by the script that starts it."""

import json
import os
import shutil
import subprocess

import pytest

from serving.launch import proxy


def test_what_ray_leaves_open_is_bound_to_loopback(tmp_path):
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "frontend prometheus\n    bind :9101\nfrontend http\n    bind 127.0.0.1:8000\n"
        "frontend asked_for\n    bind *:8001\nlisten stats\n  bind *:8404\n"
    )
    script = tmp_path / "haproxy"
    script.write_text(proxy._SCRIPT.format(binary="echo", unavailable=proxy._UNAVAILABLE))
    script.chmod(0o700)
    command = [str(script), "-f", str(config), "-db"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.strip() == f"-f {config} -db"
    binds = [line.strip() for line in config.read_text().splitlines() if "bind" in line]
    assert binds[0] == "bind 127.0.0.1:9101"
    assert binds[1] == "bind 127.0.0.1:8000"
    assert binds[2] == "bind *:8001"
    assert binds[3] == "bind 127.0.0.1:8404"
    head, _, body = (tmp_path / "500.http").read_bytes().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["detail"]


def test_a_cluster_that_is_joined_keeps_its_settings(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    before = dict(os.environ)
    assert proxy.prepare() is None
    assert dict(os.environ) == before


@pytest.mark.parametrize("parent", ["/tmp", "/tmp/" + "x" * 25])
def test_its_sockets_have_short_paths(monkeypatch, parent):
    """HAProxy refuses 98 bytes; where TMPDIR is long, they are in /tmp."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", parent)
    folder = proxy._private_folder()
    try:
        assert len(f"{folder}/{'0' * 56}/admin.sock") <= 97
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()
        shutil.rmtree(parent) if parent != "/tmp" else None
