"""Start or join Ray, quietly and safely: loopback only, token authentication, no dashboard."""

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import services

from medlabel.errors import MedlabelError
from rayjobs import joined_address
from rayjobs.cluster import capacity
from rayjobs.cluster.failures import append_to_log, reason_of
from rayjobs.cluster.own_ray import (
    Job,
    clean_python_path,
    cpus,
    ensure_token,
    worker_paths,
)
from rayjobs.ray_folder import temporary_folder

__all__ = ["connect", "prepare_worker"]

_ANSWER_SECONDS = 10.0  # until a cluster must have accepted a connection


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names (`auto`: the one on this machine), or start one.

    A cluster that is started here listens on loopback only (see `rayjobs/__init__.py`) and asks for
    a token: the user's, or one that Ray generates. It has one CPU or more. In a cluster that was
    joined, a node with a CPU is waited for (see `rayjobs.cluster.capacity`).

    Raises:
        MedlabelError: no cluster could be started or joined, or it has no node with a CPU.
    """
    if not ray.is_initialized():
        _set_defaults()
        _start_or_join(joined_address())
        _quieten()
    capacity.await_slots({"CPU": 1})


def _set_defaults() -> None:
    """Set those of Ray's variables that the user has not set."""
    os.environ.setdefault(
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25"
    )  # with 2 s, a training takes 4 s longer
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a notice
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")  # medlabel draws its own
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # notes of the C++ core


def _start_or_join(address: str | None) -> None:
    """Call `ray.init`; what it writes and warns of on the way is hidden."""
    settings: dict[str, Any] = {"address": address or "local"}
    _check_working_directory()
    if address is None:
        ensure_token()
        settings |= {"num_cpus": cpus(), "_temp_dir": temporary_folder()}
    else:
        _check_answers(address)
    if not (address or "").startswith("ray://"):  # a client's job belongs to its server
        settings["job_config"] = Job(worker_paths(own=address is None))
    with warnings.catch_warnings(), _quiet_stderr(), clean_python_path():
        warnings.simplefilter("ignore", ResourceWarning)  # Ray's own start-up leaves files open
        try:
            ray.init(
                **settings, include_dashboard=False, log_to_driver=False,
                logging_level=logging.ERROR,
            )  # fmt: skip
        except Exception as error:  # a busy machine, a wrong address or token: each its own type
            reason = reason_of(error).split(". ")[0]
            what = f"joined at {address}" if address else "started"
            raise MedlabelError(f"Ray could not be {what}: {reason}; {_advice(address)}") from error
    if address is None:
        capacity.remember_own()


def _check_answers(address: str) -> None:
    """Raise a `MedlabelError` if nothing answers there: Ray would try for a quarter of an hour."""
    if address.startswith("ray://"):  # Ray's client gives up soon
        return
    found: str | None = None
    try:
        found = services.canonicalize_bootstrap_address(address)  # as Ray will: not always the same
        if found is None:  # `auto`, and no cluster runs here: Ray says so
            return
        host, _, port = found.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        where = f"{found} does not answer: " if found else ""
        raise MedlabelError(
            f"Ray could not be joined at {address}: {where}{reason_of(error)}; {_advice(address)}"
        ) from error


def _advice(address: str | None) -> str:
    """What to do when Ray could not be started or joined."""
    if address:
        return "see that it runs, set RAY_AUTH_MODE=token if it asks for one, or unset RAY_ADDRESS"
    return "run again, and see the logs in ray/session_latest/logs if it happens again"


def _check_working_directory() -> None:
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise MedlabelError("the working directory was removed: change to another one") from error


def _quieten() -> None:
    """Hide what Ray's libraries write to the terminal; their files of logs keep everything.

    The reason of an error is in the exception, and one line of ours says it.
    """
    # what Ray writes of dead workers and failed actors, even if it is not to log to the driver
    ray._private.worker.print_to_stdstream = _note
    for name in ("ray.data", "ray.train", "ray.tune"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        for handler in logger.handlers:
            if type(handler).__name__ == "PlainRayHandler":  # others write files
                handler.setLevel(logging.CRITICAL)


def _note(data: Mapping[str, Any], ignore_prefix: bool) -> None:
    """Write to a file what Ray would print."""
    append_to_log([str(line) for line in data["lines"]])


def prepare_worker() -> str:
    """Give this worker process one thread, and return the device that Ray reserved for it.

    It is "cpu" unless Ray gave the task or actor a GPU or a share of one.
    """
    import torch

    from medlabel.storage.device import default_device

    torch.set_num_threads(1)  # OpenMP threads of several workers get in each other's way
    return default_device() if ray.get_gpu_ids() else "cpu"  # torch may see GPUs that are not ours


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hide the announcement of Ray's C++ core that it stops logging to stderr."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
