"""How much fits on a cluster's nodes; the nodes are made up, and Ray is not started."""

import logging

import pytest

from medlabel.errors import MedlabelError
from rayjobs.cluster import capacity
from rayjobs.cluster.capacity import await_slots, slots


class Cluster:
    """One node, and others that appear when something is demanded."""

    def __init__(self, monkeypatch, *nodes, own=False):
        self.nodes, self.demands, self.asked = nodes, [], []
        monkeypatch.setattr(capacity, "cluster_nodes", self.look)
        monkeypatch.setattr(capacity, "_is_own", lambda: own)
        monkeypatch.setattr(capacity, "_PAUSE", 0.001)
        monkeypatch.setattr(capacity, "placement_group", self.demand)
        monkeypatch.setattr(capacity, "remove_placement_group", self.demands.remove)
        monkeypatch.setenv(capacity.WAIT, "0.05")

    def look(self):
        return list(self.nodes if self.asked else self.nodes[:1])

    def demand(self, bundles, strategy):
        self.asked.append(bundles)
        self.demands.append(bundles)
        return bundles


@pytest.mark.parametrize(
    ("nodes", "need", "expected"),
    [
        ([{"CPU": 0, "GPU": 0}], {"CPU": 1}, 0),  # a head that runs no tasks
        ([{"CPU": 0.5}, {"CPU": 0.5}], {"CPU": 1}, 0),  # work is always on one node
        ([{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], {"CPU": 1, "GPU": 2}, 0),
        ([{"CPU": 16, "GPU": 2}], {"CPU": 1, "GPU": 0.25}, 8),
        ([{"CPU": 16, "GPU": 2}], {"CPU": 1, "GPU": 0.4}, 4),  # a share spans no two GPUs
        ([{"CPU": 16, "GPU": 4}], {"CPU": 1, "GPU": 2}, 2),
        ([{"CPU": 0, "GPU": 4}], {"CPU": 1, "GPU": 1}, 0),
        ([], {"CPU": 1}, 0),
    ],
)
def test_work_fits_on_single_nodes(nodes, need, expected):
    assert slots(nodes, need) == expected


def test_what_is_beside_takes_its_place_once():
    need, reader = {"CPU": 0.5}, {"CPU": 0.25}
    assert slots([{"CPU": 1}], need, beside=reader) == 1
    assert slots([{"CPU": 1}, {"CPU": 0.25}], need, beside=reader) == 2
    assert slots([{"CPU": 0}], {"CPU": 0.125}, beside=reader) == 0


def test_a_ray_of_our_own_does_not_grow_and_is_not_waited_for(monkeypatch, caplog):
    cluster = Cluster(monkeypatch, {"CPU": 2.0, "GPU": 0.0}, own=True)
    with pytest.raises(MedlabelError) as error:
        await_slots({"CPU": 1, "GPU": 1}, what="fit")
    assert str(error.value) == (
        "a fit needs 1 CPU and 1 GPU on one node, and the cluster has "
        "1 node (2 CPUs and 0 GPUs); ask for less"
    )
    with pytest.raises(
        MedlabelError, match="4 replicas need 1 CPU each, and the cluster can hold 2"
    ):
        await_slots({"CPU": 1}, 4, "replica")
    assert (caplog.messages, cluster.asked) == ([], [])


def test_a_cluster_that_was_joined_is_waited_for_and_its_autoscaler_sees_it(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    cluster = Cluster(monkeypatch, {"CPU": 0.0, "GPU": 0.0}, {"CPU": 8.0, "GPU": 1.0})
    assert await_slots({"CPU": 1.0, "GPU": 0.5}, 2, "fit") == 2
    assert caplog.messages == [
        "waiting up to 0 seconds (MEDLABEL_CLUSTER_WAIT) for the cluster: 2 fits need 1 CPU and "
        "0.5 GPUs each, and the cluster can hold 0: 1 node (0 CPUs and 0 GPUs)"
    ]
    assert cluster.asked == [[{"CPU": 1.0, "GPU": 0.5}] * 2]
    assert cluster.demands == []


def test_a_cluster_that_stays_too_small_is_an_error_that_says_what_helps(monkeypatch):
    cluster = Cluster(monkeypatch, {"CPU": 0.0, "GPU": 0.0})
    with pytest.raises(MedlabelError) as error:
        await_slots({"CPU": 1})
    assert str(error.value) == (
        "a worker needs 1 CPU on one node, and the cluster has 1 node (0 CPUs and 0 GPUs); after "
        "0 seconds of waiting: start nodes that have it, ask for less, or set "
        "MEDLABEL_CLUSTER_WAIT to more seconds"
    )
    assert cluster.demands == []


def test_what_no_node_can_ever_hold_is_refused_at_once(monkeypatch):
    cluster = Cluster(monkeypatch, {"CPU": 8.0, "GPU": 8.0})
    with pytest.raises(MedlabelError, match=r"1\.5 GPUs per fit: give a whole number"):
        await_slots({"CPU": 1, "GPU": 1.5}, what="fit")
    assert cluster.asked == []


@pytest.mark.parametrize("wrong", ["soon", "-1", "inf", "nan"])
def test_a_waiting_time_that_is_none_is_an_error(monkeypatch, wrong):
    Cluster(monkeypatch, {"CPU": 0.0, "GPU": 0.0})
    monkeypatch.setenv(capacity.WAIT, wrong)
    with pytest.raises(MedlabelError, match=f"MEDLABEL_CLUSTER_WAIT={wrong}: give a number"):
        await_slots({"CPU": 1})
