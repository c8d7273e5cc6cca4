import errno
import os
import signal
import time
from pathlib import Path

import pytest
import ray

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import finished_seeds
from medlabel.storage.store import Store
from rayjobs import fit_placement
from rayjobs.cluster import capacity
from rayjobs.fit_placement import WHOLE_CLUSTER, FitJob, FitPlacement, run_fits

pytestmark = pytest.mark.usefixtures("ray_cluster")


def write(store, seed, device, note="", *_):
    """Stands for a fit: writes the file that makes a cell count, and who wrote it."""
    store.write_json(f"cells/seed-{seed:04d}/cell.json", {"device": device, "note": note})


def attempts(store, seed):
    """How often a fit of this seed was started; counts one more."""
    path = Path(store.path(f"attempts-{seed}"))
    with path.open("a") as file:
        file.write("x")
    return len(path.read_text())


def job(store, seeds, fit=write, shared=tuple, **names):
    return FitJob(store, tuple(seeds), fit, shared, names)


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def test_small_networks_share_a_gpu(monkeypatch):
    monkeypatch.setattr(capacity, "cluster_nodes", lambda: [{"CPU": 16.0, "GPU": 2.0}])
    assert WHOLE_CLUSTER.resources() == {"CPU": 1, "GPU": 0.25}
    assert WHOLE_CLUSTER.capacity() == 8
    assert FitPlacement(workers=3).capacity() == 3
    assert FitPlacement(gpus=0.4).capacity() == 4  # a share spans no two GPUs
    assert FitPlacement(gpus=2).capacity() == 1
    assert FitPlacement(gpus=0).resources() == {"CPU": 1}
    assert FitPlacement(gpus=0).capacity() == 16
    assert FitPlacement(gpus=0.1).task_options() == {"num_cpus": 1, "num_gpus": 0.1}
    monkeypatch.setattr(capacity, "cluster_nodes", lambda: [{"CPU": 2.0, "GPU": 0.0}])
    assert WHOLE_CLUSTER.capacity() == 2
    assert WHOLE_CLUSTER.task_options() == {"num_cpus": 1, "num_gpus": 0}


def test_more_gpus_than_the_cluster_has_are_refused(monkeypatch):
    nodes = [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}]
    monkeypatch.setattr(capacity, "cluster_nodes", lambda: nodes)
    with pytest.raises(MedlabelError, match="a fit needs 1 CPU and 2 GPUs on one node, and the"):
        FitPlacement(gpus=2).resources()
    with pytest.raises(MedlabelError, match=r"1\.5 GPUs per fit: give a whole number"):
        FitPlacement(gpus=1.5).capacity()
    nodes[:] = [{"CPU": 2.0, "GPU": 0.0}]
    with pytest.raises(MedlabelError, match=r"a fit needs 1 CPU and 0\.5 GPUs"):
        FitPlacement(gpus=0.5).task_options()


def test_what_fits_share_is_put_once_and_only_if_a_cell_is_missing(store):
    def never():
        pytest.fail("all cells are finished")

    ref = ray.put("shared")
    reported = []
    jobs = [job(store / "a", range(3), shared=lambda: (ref,)), job(store / "b", [7], write)]
    summary = run_fits(jobs, total=4, on_progress=lambda *p: reported.append(p))
    assert (summary.finished, summary.fitted, summary.failures) == (0, 4, [])
    assert reported[-1] == (4, 4)
    found = (store / "a").read_json("cells/seed-0002/cell.json")
    assert found == {"device": "cpu", "note": "shared"}
    again = run_fits([job(store / "a", range(3), shared=never)], total=3)
    assert (again.finished, again.fitted) == (3, 0)


def test_no_more_fits_run_at_a_time_than_asked(store):
    def alone(store, seed, device):
        lock = Path(store.path("lock"))
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch(exist_ok=False)  # raises if another fit runs
        write(store, seed, device)
        lock.unlink()

    summary = run_fits([job(store, range(6), alone)], FitPlacement(workers=1), total=6)
    assert summary.failures == []


def test_a_cell_that_kills_its_worker_is_given_up_alone(store, monkeypatch):
    monkeypatch.setattr(fit_placement, "_RETRIES", 1)

    def deadly(store, seed, device):
        write(store, 100 + seed, device)
        if seed == 1:
            attempts(store, seed)
            os.kill(os.getpid(), signal.SIGKILL)
        write(store, seed, device)

    summary = run_fits([job(store, range(4), deadly, task="t")], total=4, stop_at_error=True)
    assert summary.failures == [
        {"task": "t", "seed": 1, "reason": "its worker process died (attempts: 2)"}
    ]
    assert summary.fitted == 3
    assert {0, 2, 3} <= finished_seeds(store)
    assert attempts(store, 1) == 2 + 1


def test_a_worker_that_dies_once_costs_nothing(store):
    def dies_once(store, seed, device):
        if attempts(store, seed) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        write(store, seed, device)

    summary = run_fits([job(store, [0], dies_once)], total=1)
    assert (summary.fitted, summary.failures) == (1, [])


def test_errors_of_storage_are_tried_again_and_others_are_not(store):
    def flaky(store, seed, device):
        if attempts(store, seed) > 2:
            return write(store, seed, device)
        if seed == 0:
            raise MedlabelError("cannot write: the bucket is busy") from OSError("busy")
        raise ValueError("no such recipe")

    summary = run_fits([job(store, range(2), flaky)], total=2)
    assert summary.failures == [{"seed": 1, "reason": "ValueError: no such recipe"}]
    assert attempts(store, 0) == 3 + 1
    assert attempts(store, 1) == 1 + 1


def test_a_full_disk_ends_a_job_at_once_and_says_so(store):
    """Every other fit would be trained in vain, and six times at that."""

    def fail(store, seed, device):
        attempts(store, seed)
        error = OSError(errno.ENOSPC, "No space left on device")
        raise MedlabelError("cannot write /out/a: No space left on device") from error

    with pytest.raises(MedlabelError) as raised:
        run_fits([job(store, range(9), fail)], FitPlacement(workers=1), total=9)
    assert str(raised.value) == (
        "fitting failed: cannot write /out/a: No space left on device. What is finished is kept; "
        "correct this, then run the same command to go on"
    )
    assert attempts(store, 0) == 1 + 1
    assert store.list("attempts-*") == ["attempts-0"]


def test_a_cluster_that_lost_its_nodes_is_an_error_and_no_endless_wait(store, monkeypatch):
    monkeypatch.setattr(fit_placement, "_CHECKED_EVERY", 0.2)
    looks = []

    def lose():
        looks.append(1)
        return [{"CPU": 2.0, "GPU": 0.0}] if len(looks) < 8 else [{"CPU": 0.0, "GPU": 0.0}]

    monkeypatch.setattr(capacity, "cluster_nodes", lose)
    placement = FitPlacement(workers=1, gpus=0)
    with pytest.raises(MedlabelError, match="a fit needs 1 CPU on one node"):
        run_fits([job(store, [0], lambda *_: time.sleep(60))], placement, total=1)


def test_the_first_error_ends_a_job_whose_cells_would_all_fail_alike(store):
    def fail(store, seed, device):
        attempts(store, seed)
        raise MedlabelError("unknown student")

    jobs = [job(store, range(50), fail)]
    with pytest.raises(MedlabelError, match=r"fitting failed: unknown student\. What is finished"):
        run_fits(jobs, FitPlacement(workers=1), total=50, stop_at_error=True)
    assert store.list("attempts-*") == ["attempts-0"]


def test_jobs_are_prepared_late(store):
    """A generator of jobs is not read far ahead of the workers: each may hold much memory."""
    made = []

    def jobs():
        for number in range(10):
            made.append(number)
            yield job(store / str(number), [0])

    ahead = []
    run_fits(
        jobs(), FitPlacement(workers=1), lambda done, _: ahead.append(len(made) - done), total=10
    )
    assert max(ahead) <= 2
