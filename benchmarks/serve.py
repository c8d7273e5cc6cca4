"""Our server against bare FastAPI, LitServe, and Ray Serve with its defaults.

`python -m benchmarks.serve [--quick] [--litserve FOLDER]`: each server in turn, the same student,
the same cores, the same client (wrk, from your distribution). One image a request at 1, 32 and 128
connections: requests per second, p50 and p99. Then 256 images per request, against a torch loop
over the same images. Ours validates, hashes, calibrates, audits and counts; the others answer only
(benchmarks/servers.py). Processor time a request is measured too, of a server and all its children:
it hardly changes with what else the machine does, as requests per second do.

FOLDER is what `pip install --target FOLDER --no-deps litserve pyzmq` fills; without it, LitServe is
left out.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from benchmarks.common import png_of
from medlabel.data.sources import open_source
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.storage.strict_json import to_json
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.calibration import calibrate
from medlabel.student.fit import predict_proba
from medlabel.student.networks import Student
from serving.launch.addresses import free_port

CONNECTIONS = (1, 32, 128)
MANY = 256  # images per request
_SCRIPT = """
wrk.method = "POST"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/octet-stream"
"""
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def prepare(folder: Path, members: int) -> NDArray[np.uint8]:
    """A calibrated student of random weights, and images to send: drawings of two kinds."""
    drawn = [open_source(f"phantom:{name}") for name in ("chestmnist", "breastmnist")]
    images = np.concatenate([source.splits["train"].images[:MANY] for source in drawn])
    torch.manual_seed(0)
    student = Student("small", 1, ["chest", "breast"], 28, members).eval()
    wanted = np.eye(2, dtype=np.float32)[np.arange(len(images)) // MANY]
    calibration = calibrate(student, images, wanted)
    save_bundle(Store(str(folder / "bundle")), student, {"bundle_id": "benchmark"}, calibration)
    (folder / "one").write_bytes(png_of(images[0]))
    with (folder / "many").open("wb") as stack:
        np.save(stack, images[:MANY])
    for name in ("one", "many"):
        (folder / f"{name}.lua").write_text(_SCRIPT.format(body=folder / name), encoding="utf-8")
    return images[:MANY]


@contextmanager
def server(
    name: str, folder: Path, litserve: str | None = None, extra: Sequence[str] = ()
) -> Iterator[tuple[int, psutil.Process]]:
    """A server that answers, in processes of its own; all of them are ended afterwards."""
    port, bundle = free_port(), str(folder / "bundle")
    module = [sys.executable, "-m"]
    command = [*module, "benchmarks.servers", name, bundle, str(port)]
    if name == "medlabel":
        told = f"--port {port} --state {folder / 'state'}".split()
        command = [*module, "medlabel.cli", "serve", bundle, *told, *extra]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    if litserve and name == "litserve":
        paths = [litserve, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    with (folder / f"{name}.log").open("w", encoding="utf-8") as log:
        started = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    process = psutil.Process(started.pid)
    try:
        _wait(port, folder / "one", started, folder / f"{name}.log")
        yield port, process
    finally:
        children = process.children(recursive=True) if process.is_running() else []
        started.send_signal(signal.SIGINT)
        try:
            started.wait(40)
        except subprocess.TimeoutExpired:
            started.kill()
        for child in psutil.wait_procs(children, timeout=10)[1]:
            child.kill()


def _wait(port: int, body: Path, started: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end and started.poll() is None:
        try:
            url = f"http://127.0.0.1:{port}/annotate"
            kind = {"content-type": "application/octet-stream"}
            answer = httpx.post(url, content=body.read_bytes(), headers=kind, timeout=5)
            if answer.status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise MedlabelError(f"a server did not start: {log.read_text(encoding='utf-8')[-500:]}")


def _load(port: int, process: psutil.Process, script: Path, connections: int, seconds: int) -> Any:
    """Run wrk: requests per second, p50 and p99 in ms, failures, CPU ms per request."""
    before = _cpu_seconds(process)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "20s"]
    url = f"http://127.0.0.1:{port}/annotate"
    told = subprocess.run(
        [*command, "-s", str(script), url], capture_output=True, encoding="utf-8", check=True
    ).stdout
    counted = re.search(r"(\d+) requests in", told)
    count = int(counted[1]) if counted else 0
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
    return {
        "requests_s": float(rate[1]) if rate else 0.0,
        "p50_ms": _percentile(told, "50%"),
        "p99_ms": _percentile(told, "99%"),
        "failed": int(failed[1]) if failed else 0,
        "cpu_ms": round(1000 * (_cpu_seconds(process) - before) / max(count, 1), 3),
    }


def _percentile(told: str, name: str) -> float:
    found = re.search(rf"{name}\s+([\d.]+)(us|ms|s|m)", told)
    return round(float(found[1]) * _MILLISECONDS[found[2]], 2) if found else float("nan")


def _cpu_seconds(process: psutil.Process) -> float:
    """Processor time of a process and its children."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            pass
    return total


def _bare_loop(folder: Path, images: NDArray[np.uint8], seconds: float) -> float:
    """Images a second of the student alone, on one thread, in batches of as many."""
    torch.set_num_threads(1)
    student, count, start = load_bundle(str(folder / "bundle")).student, 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += len(predict_proba(student, images))
    return count / (time.perf_counter() - start)


def _measure(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    seconds = options.seconds
    with server(name, folder, options.litserve) as (port, process):
        _load(port, process, folder / "one.lua", 8, 1)  # nobody is measured cold
        found: dict[str, Any] = {
            str(n): _load(port, process, folder / "one.lua", n, seconds)
            for n in ((1, 32) if options.quick else CONNECTIONS)
        }
        if name == "medlabel":
            many = _load(port, process, folder / "many.lua", 2, seconds)
            found["images_s"] = round(MANY * many["requests_s"], 1)
    for key, row in found.items():
        print(f"{name:9} {key:>8} {to_json(row)}", flush=True)
    return found


def main() -> None:
    """Measure, print, and end with one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two servers for two seconds each")
    parser.add_argument("--seconds", type=int, help="a measurement takes; 15, or 2 if quick")
    parser.add_argument("--members", type=int, default=3, help="networks of the student")
    parser.add_argument("--litserve", help="folder that LitServe was installed into")
    options = parser.parse_args()
    options.seconds = options.seconds or (2 if options.quick else 15)
    if shutil.which("wrk") is None:
        raise MedlabelError("wrk is not here: `apt-get install wrk`, or your system's like")
    names = ["medlabel", "fastapi"]
    if not options.quick:
        names += (["litserve"] if options.litserve else []) + ["ray"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = prepare(folder, options.members)
        found = {name: _measure(name, folder, options) for name in names}
        loop = _bare_loop(folder, images, options.seconds)
    ours, bare = found["medlabel"]["32"], found["fastapi"]["32"]
    print(
        to_json(
            {
                "benchmark": "serve",
                "servers": found,
                "ratio_to_fastapi": round(ours["requests_s"] / bare["requests_s"], 3),
                "cpu_ratio_to_fastapi": round(bare["cpu_ms"] / ours["cpu_ms"], 3),
                "p99_not_worse": ours["p99_ms"] <= bare["p99_ms"],
                "loop_images_s": round(loop, 1),
                "ratio_to_loop": round(found["medlabel"]["images_s"] / loop, 3),
                "load_average": os.getloadavg()[0],
            }
        )
    )


if __name__ == "__main__":
    main()
