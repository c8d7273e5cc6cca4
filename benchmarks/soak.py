"""The service under mixed load: what fails, how long answers take, whether memory grows.

`python -m benchmarks.soak [--quick] [--minutes 30] [--kill-every S] [--roll-out-every S]`: clients
send single images, stacks, forms of good and broken files, files that are none, and addresses that
are not there. A refusal has to say why; a 503 has to say when to come back. With `--kill-every` a
copy is killed (SIGKILL) so often; with `--roll-out-every` a new bundle takes the old one's place.
A request that gets no answer, or a 503, is sent once more: if that fails too, it is lost.
"""

import argparse
import asyncio
import random
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from benchmarks.common import png_of, print_table
from benchmarks.serve import prepare, server
from medlabel.storage.store import Store
from medlabel.storage.strict_json import to_json
from medlabel.student.bundle import save_bundle
from medlabel.student.networks import Student

STACK = 64  # images of a stack
_EVERY_S = 10  # between looks at memory
_WARM = 0.2  # of the time has passed before memory is compared


@dataclass(frozen=True)
class Kind:
    """One kind of request: how often it comes, what it sends, which answers are right."""

    share: int
    send: Mapping[str, Any]
    right: frozenset[int]
    labels: int = 0


@dataclass
class Seen:
    """What the clients have seen."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    again: int = 0
    lost: int = 0
    bundles: Counter[str] = field(default_factory=Counter)


def kinds_of(images: NDArray[np.uint8]) -> dict[str, Kind]:
    """What clients send, good and bad."""
    good = {name: png_of(images[0], name) for name in ("PNG", "JPEG", "TIFF")}
    stack = BytesIO()
    np.save(stack, images[:STACK])
    form = [
        ("file", ("a.png", good["PNG"])),
        ("file", ("broken.jpg", good["JPEG"][:200])),
        ("file", ("b.tif", good["TIFF"])),
    ]
    refused = frozenset({400, 413, 415, 422})
    kinds = {
        "one PNG": Kind(50, {"content": good["PNG"]}, frozenset({200}), 1),
        "one JPEG": Kind(15, {"content": good["JPEG"]}, frozenset({200}), 1),
        "a stack": Kind(5, {"content": stack.getvalue()}, frozenset({200}), STACK),
        "good and broken": Kind(10, {"files": form}, frozenset({200}), 2),
        "noise": Kind(8, {"content": random.Random(0).randbytes(2000)}, refused),
        "half a JPEG": Kind(6, {"content": good["JPEG"][:300]}, refused),
        "nothing": Kind(3, {"content": b""}, refused),
        "no such student": Kind(
            2, {"content": good["PNG"], "params": {"bundle": "none"}}, frozenset({404, 422})
        ),
        "no such page": Kind(1, {"url": "/nowhere", "content": b"x"}, frozenset({404, 405})),
    }
    return kinds


async def _client(base: str, kinds: Mapping[str, Kind], seen: Seen, end: float, seed: int) -> None:
    """One client: a request after another until the time is over."""
    dice, names = random.Random(seed), list(kinds)
    shares = [kinds[name].share for name in names]
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:
        while time.monotonic() < end:
            name = dice.choices(names, shares)[0]
            await _ask(client, name, kinds[name], seen)


async def _ask(client: httpx.AsyncClient, name: str, kind: Kind, seen: Seen) -> None:
    """Send a request, once more if it got no answer or a 503, and judge what came."""
    start = time.perf_counter()
    answer = await _send(client, kind, seen)
    if answer is None or answer.status_code == 503:
        seen.again += 1
        wait = 1.0 if answer is None else float(answer.headers.get("retry-after", 1))
        await asyncio.sleep(wait)
        start = time.perf_counter()
        answer = await _send(client, kind, seen)
        if answer is None or answer.status_code == 503:
            seen.lost += 1
            return
    seen.seconds.append(time.perf_counter() - start)
    if reason := wrong(kind, answer):
        seen.wrong.append(f"{name}: {answer.status_code} {reason}: {answer.text[:200]}")
    elif kind.labels:
        seen.bundles[answer.json()["results"][0]["bundle"]] += 1


async def _send(client: httpx.AsyncClient, kind: Kind, seen: Seen) -> httpx.Response | None:
    try:
        answer = await client.post(**{"url": "/annotate", **kind.send})
    except httpx.HTTPError as error:
        seen.statuses[type(error).__name__] += 1
        return None
    seen.statuses[str(answer.status_code)] += 1
    if answer.status_code == 503 and "retry-after" not in answer.headers:
        seen.wrong.append("503 without Retry-After")
    return answer


def wrong(kind: Kind, answer: httpx.Response) -> str | None:
    """What is wrong with an answer that is no 503; None: nothing."""
    if answer.status_code not in kind.right:
        return "was not to be answered so"
    told = answer.json()
    if answer.status_code >= 400:
        return None if told.get("detail") else "has no reason"
    labelled = sum("label" in one for one in told["results"])
    return None if labelled == kind.labels else f"has {labelled} labels"


async def _memory(process: psutil.Process, found: list[dict[str, float]], end: float) -> None:
    """Private memory by kind of process, in MB, every few seconds."""
    start = time.monotonic()
    while time.monotonic() < end:
        sizes: dict[str, float] = defaultdict(float)
        for one in (process, *process.children(recursive=True)):
            try:
                sizes[_kind(one)] += one.memory_full_info().uss / 2**20
            except psutil.Error:
                continue
        found.append({"minute": (time.monotonic() - start) / 60, **sizes})
        await asyncio.sleep(_EVERY_S)


def _kind(process: psutil.Process) -> str:
    title = " ".join(process.cmdline())
    names = {"replica": "copies", "haproxy": "HAProxy", "servecontroller": "controller"}
    return next((kind for part, kind in names.items() if part in title.lower()), "others")


async def _now_and_then(every: float, end: float, act: Callable[[], int]) -> int:
    """Do something every so many seconds; how often it was done."""
    done = 0
    while every and time.monotonic() + every < end:
        await asyncio.sleep(every)
        done += act()
    return done


def _kill_a_copy(process: psutil.Process, dice: random.Random) -> int:
    copies = [one for one in process.children(recursive=True) if _kind(one) == "copies"]
    if copies:
        dice.choice(copies).kill()
    return len(copies[:1])


def _roll_out(process: psutil.Process, folder: Path, number: int) -> int:
    """Another student in the old one's place."""
    torch.manual_seed(number)
    student = Student("small", 1, ["chest", "breast"], 28, 3).eval()
    save_bundle(Store(str(folder / "bundle")), student, {"bundle_id": f"number-{number}"})
    process.send_signal(signal.SIGUSR1)
    return 1


async def _soak(
    port: int, process: psutil.Process, folder: Path, options: argparse.Namespace, images: Any
) -> dict[str, Any]:
    seen, sizes, kinds = Seen(), list[dict[str, float]](), kinds_of(images)
    end, dice = time.monotonic() + 60 * options.minutes, random.Random(0)
    base, number = f"http://127.0.0.1:{port}", count(1)
    clients = [_client(base, kinds, seen, end, seed) for seed in range(options.connections)]
    *_, killed, rolled = await asyncio.gather(
        *clients,
        _memory(process, sizes, end),
        _now_and_then(options.kill_every, end, lambda: _kill_a_copy(process, dice)),
        _now_and_then(
            options.roll_out_every, end, lambda: _roll_out(process, folder, next(number))
        ),
    )
    took = 1000 * np.array(seen.seconds)
    warm = [row for row in sizes if row["minute"] >= _WARM * options.minutes] or sizes
    grown = {
        kind: [round(row.get(kind, 0), 1) for row in (warm[0], warm[-1])]
        for kind in ("copies", "HAProxy", "controller", "others")
    }
    stated = seen.statuses["503"]
    return {
        "minutes": options.minutes,
        "requests": sum(seen.statuses.values()),
        "requests_s": round(sum(seen.statuses.values()) / (60 * options.minutes), 1),
        "statuses": dict(sorted(seen.statuses.items())),
        "5xx_but_503": sum(n for s, n in seen.statuses.items() if s[0] == "5") - stated,
        "wrong": len(seen.wrong),
        "first_wrong": seen.wrong[:3],
        "sent_again": seen.again,
        "lost": seen.lost,
        "killed": killed,
        "rolled_out": rolled,
        "bundles_seen": len(seen.bundles),
        "p50_ms": round(float(np.percentile(took, 50)), 1),
        "p99_ms": round(float(np.percentile(took, 99)), 1),
        "memory_mb_warm_and_last": grown,
    }


def main() -> None:
    """Start the service, load it, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half a minute")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--kill-every", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--roll-out-every", type=float, default=0, metavar="SECONDS")
    options = parser.parse_args()
    options.minutes = 0.5 if options.quick else options.minutes
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = prepare(folder, 3)
        extra = ["--replicas", str(options.replicas)]
        with server("medlabel", folder, extra=extra) as (port, process):
            figures = asyncio.run(_soak(port, process, folder, options, images))
    print_table([{"figure": name, "value": value} for name, value in figures.items()])
    print(to_json({"benchmark": "soak", **figures}))


if __name__ == "__main__":
    main()
