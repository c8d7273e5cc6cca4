"""Start or join Ray, quietly and safely: loopback only, token authentication, no dashboard."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayError
from ray.train import TrainingFailedError

from medlabel.errors import MedlabelError

__all__ = ["connect", "last_line", "one_line_errors", "prepare_worker"]

_OWN = f"{MedlabelError.__module__}.{MedlabelError.__name__}"


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names (`auto`: the one on this machine), or start one.

    A cluster that is started here listens on loopback only (see `rayjobs/__init__.py`) and asks for
    a token: the user's, or one that Ray generates.

    Raises:
        MedlabelError: no cluster could be started or joined.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault(
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25"
    )  # with 2 s, a training takes 4 s longer
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a notice
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")  # medlabel draws its own
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # notes of the C++ core
    with warnings.catch_warnings(), _quiet_stderr():
        warnings.simplefilter("ignore", ResourceWarning)  # Ray's own start-up leaves files open
        address = os.environ.get("RAY_ADDRESS", "local")
        try:
            ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # a busy machine, a wrong address or token: each its own type
            reason = str(error).split(". ")[0].strip().splitlines()[0]
            what = "started" if address == "local" else f"joined at {address}"
            raise MedlabelError(f"Ray could not be {what}: {reason}; run again") from error
    for name in ("ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)


def prepare_worker() -> str:
    """Give this worker process one thread, and return the device that Ray reserved for it.

    It is "cpu" unless Ray gave the task or actor a GPU or a share of one.
    """
    import torch

    from medlabel.storage.device import default_device

    torch.set_num_threads(1)  # OpenMP threads of several workers get in each other's way
    return default_device() if ray.get_gpu_ids() else "cpu"  # torch may see GPUs that are not ours


@contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """Turn an error that Ray raises, with its remote traceback, into a one-line `MedlabelError`."""
    try:
        yield
    except (RayError, TrainingFailedError) as error:
        raise MedlabelError(
            f"{what} failed: {last_line(error)}. "
            "What is finished is kept; run the same command to go on"
        ) from error


def last_line(error: Exception) -> str:
    """The last line of an error's text, which is where a remote traceback has its reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].removeprefix(f"{_OWN}: ")


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
