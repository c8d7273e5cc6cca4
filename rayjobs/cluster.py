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

__all__ = ["connect", "fitting_resources", "last_line", "one_line_errors"]

_OWN = f"{MedlabelError.__module__}.{MedlabelError.__name__}"
_FITS_PER_GPU = 4  # a small CNN leaves most of a GPU idle


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names (`auto`: the one on this machine), else start one.

    One of our own listens on loopback alone (see `rayjobs/__init__.py`) and asks for a token: the
    user's, or one that Ray makes.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25")  # 2 s: 4 s more a training
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a notice
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")  # medlabel draws its own
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # C++ notes for Ray's own makers
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
        except Exception as error:  # a busy machine, a wrong address or token: each its own kind
            reason = str(error).split(". ")[0].strip().splitlines()[0]
            what = "started" if address == "local" else f"joined at {address}"
            raise MedlabelError(f"Ray could not be {what}: {reason}; run again") from error
    for name in ("ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """Turn what Ray raises of a failed job, remote tracebacks and all, into one line."""
    try:
        yield
    except (RayError, TrainingFailedError) as error:
        raise MedlabelError(
            f"{what} failed: {last_line(error)}. "
            "What is finished is kept; run the same command to go on"
        ) from error


def last_line(error: Exception) -> str:
    """The reason at the end of a traceback that came from afar."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].removeprefix(f"{_OWN}: ")


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep Ray's C++ core from announcing on stderr that it will say no more there."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def fitting_resources(units: int, share: float | None = None) -> tuple[int, dict[str, float]]:
    """Workers for so many units of work, and what each of them takes of the cluster.

    Args:
        units: no more workers than these.
        share: of a GPU for each; a quarter where there are GPUs when None, 0 for the CPUs alone.
    """
    total = ray.cluster_resources()
    cpus, gpus = int(total.get("CPU", 1)), total.get("GPU", 0.0)
    if share and gpus < share:
        raise MedlabelError(f"{share:g} GPUs per fit, but the cluster has {gpus:g}")
    if gpus and share != 0:
        each = share or 1 / _FITS_PER_GPU
        shares = int(gpus) * int(1 / each + 1e-9) if each < 1 else int(gpus / each)
        workers = min(cpus, shares)  # a share does not span two GPUs
        return max(1, min(workers, units)), {"CPU": 1, "GPU": each}
    return max(1, min(cpus, units)), {"CPU": 1}
