"""What a cluster can hold: how often some work fits on its nodes, and waiting until it does.

Ray waits for ever for resources that no node has. So every job asks here first. A Ray of our own
does not grow: what it cannot hold is an error at once. A cluster that was joined may: its
autoscaler sees what is waited for, and starts nodes.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import floor

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from medlabel.errors import MedlabelError

__all__ = [
    "await_slots",
    "cluster_nodes",
    "describe",
    "holds",
    "remember_own",
    "slots",
    "waiting_time",
]

WAIT = "MEDLABEL_CLUSTER_WAIT"
_SECONDS = 300.0  # an autoscaler takes minutes to start a node
_PAUSE = 1.0
_SHOWN = 4  # nodes in a message

Resources = Mapping[str, float]
_log = logging.getLogger("medlabel")
_own: list[str] = []  # the address of the Ray that this process started


def remember_own() -> None:
    """Note that the Ray of this process was started by it, with a fixed size."""
    _own[:] = [ray.get_runtime_context().gcs_address]


def _is_own() -> bool:
    return bool(_own) and _own[0] == ray.get_runtime_context().gcs_address


def cluster_nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive, such as ``{"CPU": 8.0, "GPU": 1.0}``."""
    return [
        {name: node["Resources"].get(name, 0.0) for name in ("CPU", "GPU")}
        for node in ray.nodes()
        if node["Alive"]
    ]


def slots(nodes: Sequence[Resources], need: Resources, beside: Resources | None = None) -> int:
    """How often some work fits on nodes. It is always on one node, and a share of a GPU on one GPU.

    Args:
        nodes: the resources of each.
        need: CPUs and GPUs of the work, each time.
        beside: what has to fit somewhere, too, once.

    Examples:
        >>> slots([{"CPU": 8, "GPU": 2}, {"CPU": 4}], {"CPU": 1, "GPU": 0.4})
        4
        >>> slots([{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], {"CPU": 1, "GPU": 2})
        0
    """
    each = [_on_node(node, need) for node in nodes]
    if beside is None:
        return sum(each)
    found = [
        sum(each) - count + _on_node(_without(node, beside), need)
        for node, count in zip(nodes, each, strict=True)
        if _on_node(node, beside)
    ]
    return max(found, default=0)


def _on_node(node: Resources, need: Resources) -> int:
    """How often some work fits on one node."""
    cpus, gpus = need.get("CPU", 0.0), need.get("GPU", 0.0)
    counts = [floor(node.get("CPU", 0.0) / cpus + 1e-9)] if cpus else []
    if gpus:
        have = node.get("GPU", 0.0)
        counts.append(floor(have) * floor(1 / gpus + 1e-9) if gpus < 1 else floor(have / gpus))
    return min(counts)


def _without(node: Resources, used: Resources) -> dict[str, float]:
    return {name: amount - used.get(name, 0.0) for name, amount in node.items()}


def holds(need: Resources) -> int:
    """How often some work fits on the cluster as it is now."""
    return slots(cluster_nodes(), need)


def await_slots(
    need: Resources, count: int = 1, what: str = "worker", beside: Resources | None = None
) -> int:
    """How often some work fits on the cluster, once that is `count` times or more.

    A cluster that was joined is waited for, 300 seconds or MEDLABEL_CLUSTER_WAIT; a message says
    for what. What others use at the moment counts as well: Ray waits until it is free.

    Args:
        need: CPUs and GPUs of the work, each time.
        count: how often it has to fit.
        what: needs it, in the singular, for messages.
        beside: what has to fit somewhere, too, once.

    Raises:
        MedlabelError: it did not fit in time, or never can, as in ``{"GPU": 1.5}``.
    """
    gpus = need.get("GPU", 0.0)
    if gpus > 1 and gpus != int(gpus):
        raise MedlabelError(
            f"{gpus:g} GPUs per {what}: give a whole number, or a share smaller than one"
        )
    found = slots(cluster_nodes(), need, beside)
    if found < count and not _is_own():
        lack = _lack(need, count, found, what)
        found = _wait(need, count, lack, beside)
    if found < count:
        raise MedlabelError(f"{_lack(need, count, found, what)}; {_advice()}")
    return found


def _wait(need: Resources, count: int, lack: str, beside: Resources | None) -> int:
    """Wait for the autoscaler, or for a person who starts nodes; how often it fits in the end."""
    seconds = waiting_time()
    _log.warning("waiting up to %.0f seconds (%s) for the cluster: %s", seconds, WAIT, lack)
    end, found = time.monotonic() + seconds, 0
    with _demand(need, count):
        while found < count and time.monotonic() < end:
            time.sleep(_PAUSE)
            found = slots(cluster_nodes(), need, beside)
    return found


def waiting_time() -> float:
    """Seconds to wait for a cluster, from MEDLABEL_CLUSTER_WAIT.

    Raises:
        MedlabelError: it is no number of seconds.
    """
    text = os.environ.get(WAIT) or str(_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise MedlabelError(f"{WAIT}={text}: give a number of seconds, such as {WAIT}=600")
    return seconds


@contextmanager
def _demand(need: Resources, count: int) -> Iterator[None]:
    """Let an autoscaler see what is waited for: it starts nodes for what is requested, only."""
    group = placement_group([{k: v for k, v in need.items() if v}] * count, strategy="PACK")
    try:
        yield
    finally:
        remove_placement_group(group)


def _lack(need: Resources, count: int, found: int, what: str) -> str:
    """What is needed, and what there is."""
    amounts = _amounts({name: amount for name, amount in need.items() if amount})
    if count == 1:
        return f"a {what} needs {amounts} on one node, and the cluster has {describe()}"
    return f"{count} {what}s need {amounts} each, and the cluster can hold {found}: {describe()}"


def _advice() -> str:
    """What to do about it."""
    if _is_own():
        return "ask for less"
    waited = f"after {waiting_time():.0f} seconds of waiting"
    return f"{waited}: start nodes that have it, ask for less, or set {WAIT} to more seconds"


def describe() -> str:
    """The nodes of the cluster in words, such as "2 nodes (8 CPUs, 1 GPU; 0 CPUs, 0 GPUs)"."""
    nodes = cluster_nodes()
    shown = "; ".join(_amounts(node) for node in nodes[:_SHOWN])
    more = f"; {len(nodes) - _SHOWN} more" if len(nodes) > _SHOWN else ""
    return f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'} ({shown}{more})"


def _amounts(resources: Resources) -> str:
    named = [(name, resources[name]) for name in ("CPU", "GPU") if name in resources]
    return " and ".join(f"{amount:g} {name}{'' if amount == 1 else 's'}" for name, amount in named)
