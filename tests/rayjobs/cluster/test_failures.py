"""The reason behind Ray's exceptions, from texts as Ray makes them; Ray is not started."""

import errno

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    OwnerDiedError,
    RayTaskError,
    UserCodeException,
    WorkerCrashedError,
)
from ray.train import WorkerGroupError

from medlabel.errors import MedlabelError
from rayjobs.cluster import failures
from rayjobs.cluster.failures import one_line_errors, reason_of

AGAIN = "What is finished is kept; run the same command to go on"
CORRECT = "What is finished is kept; correct this, then run the same command to go on"
FULL = OSError(errno.ENOSPC, "No space left on device", "/out/a.parquet")
OWN = "cannot write /out/a.parquet: No space left on device"
CAUSE = "\n\nThe above exception was the direct cause of the following exception:\n\n"
HEAD = "Traceback (most recent call last):\n"
WRAPPED = f'{HEAD}  File "x.py", line 3, in f\n    raise error\n{{}}{CAUSE}{HEAD}' + (
    '  File "ray/data/x.py", line 4, in g\n    raise UserCodeException("UDF failed") from e\n'
    "ray.exceptions.UserCodeException: UDF failed to process a data block."
)


def from_worker(text, cause=None):
    """An exception of a task as the driver gets it: what had caused its cause is lost."""
    cause = cause or UserCodeException("UDF failed to process a data block.")
    return RayTaskError("map", text, cause, "ray::map", 1, "127.0.0.1")


def line_of(error):
    with pytest.raises(MedlabelError) as raised, one_line_errors("embedding"):
        raise error
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "reason", "advice"),
    [
        (
            "OSError: [Errno 28] No space left on device: '/out/a.parquet'",
            "/out/a.parquet: No space left on device",
            CORRECT,
        ),
        ("PermissionError: [Errno 13] Permission denied: '/o'", "/o: Permission denied", CORRECT),
        ("OSError: [Errno 5] Input/output error", "Input/output error", AGAIN),
        ("ConnectionResetError: the bucket hung up", "the bucket hung up", AGAIN),
        (f"OSError: x{CAUSE}{HEAD}medlabel.errors.MedlabelError: {OWN}", OWN, CORRECT),
        ("medlabel.data.decoding.faults.ImageError: no image.", "no image", CORRECT),
        ("medlabel.errors.MedlabelError: unknown network 'x'", "unknown network 'x'", CORRECT),
    ],
)
def test_the_first_own_or_system_error_is_the_reason(text, reason, advice):
    assert line_of(from_worker(WRAPPED.format(text))) == f"embedding failed: {reason}. {advice}"


@pytest.mark.parametrize("cause", [MedlabelError(OWN), FULL])
def test_a_cause_that_survived_needs_no_text(cause):
    error = from_worker("Traceback: nothing to be seen here", cause)
    for raised in (error, error.as_instanceof_cause(), ActorDiedError(error)):
        if isinstance(raised, ActorDiedError):
            raised.__cause__ = error
        assert line_of(raised).startswith("embedding failed: ")
        assert "/out/a.parquet: No space left on device. What is" in line_of(raised)


def test_an_error_in_the_constructor_of_an_actor_is_found():
    text = WRAPPED.format("medlabel.errors.MedlabelError: no such bundle")
    assert reason_of(ActorDiedError(from_worker(text))) == "no such bundle"


def test_a_reason_of_the_driver_is_found_behind_what_was_raised_from_it():
    error = RuntimeError("could not start")
    error.__cause__ = FULL
    assert reason_of(error) == "/out/a.parquet: No space left on device"


def test_failures_of_a_training_are_looked_into():
    error = WorkerGroupError("rank 0: see below", {0: from_worker("x", FULL)})
    assert reason_of(error) == "/out/a.parquet: No space left on device"


@pytest.mark.parametrize(
    ("error", "reason", "advice"),
    [
        (OutOfMemoryError("Task was killed."), "ran out of memory", "fewer --workers, or"),
        (WorkerCrashedError(), "a worker process died", "go on, with fewer --workers if"),
        (ActorDiedError(), "a worker process died", "go on, with fewer --workers if"),
        (ActorUnavailableError("gone", b"0" * 16), "a worker process died", "go on, with"),
        (NodeDiedError("x"), "a node of the cluster was lost", "to go on"),
        (ObjectLostError("00", None, ""), "data were lost with the node", "to go on"),
        (OwnerDiedError("00", None, ""), "data were lost with the worker", "to go on"),
        (from_worker(f"{HEAD}ray.exceptions.OutOfMemoryError: Task"), "ran out of memory", "fewer"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_exceptions_of_ray_are_put_into_words(error, reason, advice):
    line = line_of(error)
    assert reason in line
    assert advice in line
    assert "\n" not in line
    assert "Check " not in line  # Ray's hints at files


def test_any_other_error_keeps_its_type_and_its_text(tmp_path, monkeypatch):
    text = WRAPPED.format("ValueError: operands could not be broadcast")
    monkeypatch.setattr(failures, "_keep", lambda error: "/logs/medlabel-errors.log")
    assert line_of(from_worker(text)) == (
        "embedding failed: ValueError: operands could not be broadcast (details: "
        "/logs/medlabel-errors.log). What is finished is kept; if it happens again, report it "
        "with its details"
    )
    assert reason_of(ValueError("bad")) == "ValueError: bad"
    assert reason_of(RuntimeError("the session timed out.")) == "the session timed out."
    assert reason_of(KeyError()) == "KeyError: "


def test_tracebacks_are_kept_beside_rays_logs(tmp_path, monkeypatch):
    class Node:
        def get_logs_dir_path(self):
            return str(tmp_path)

    monkeypatch.setattr(failures.ray._private.worker, "_global_node", Node())
    line_of(from_worker(WRAPPED.format("ValueError: bad")))
    assert "raise UserCodeException" in (tmp_path / "medlabel-errors.log").read_text()
