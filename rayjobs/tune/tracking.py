"""Report trials to MLflow or Weights & Biases, in addition to TensorBoard's files.

Ray's own callbacks do it. Addresses and keys are the usual settings of these services
(MLFLOW_TRACKING_URI, WANDB_API_KEY, WANDB_MODE=offline). Metrics and choices are sent, no images.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from ray.tune import Callback

from medlabel.errors import MedlabelError

__all__ = ["TRACKERS", "trackers"]

TRACKERS = ("mlflow", "wandb")


def trackers(names: tuple[str, ...], project: str) -> list[Callback]:
    """Ray's callbacks for these services.

    Args:
        names: some of `TRACKERS`.
        project: name of the experiment there.

    Raises:
        MedlabelError: an unknown name, a package that is not installed, or missing credentials.
    """
    for name in names:
        if name not in TRACKERS:
            raise MedlabelError(f"unknown --track {name!r}: choose from {', '.join(TRACKERS)}")
        if find_spec(name) is None:
            raise MedlabelError(f"--track {name} needs {name}: pip install 'medlabel[{name}]'")
    if "wandb" in names and not _wandb_is_set():
        raise MedlabelError("--track wandb: set WANDB_API_KEY, log in, or set WANDB_MODE=offline")
    return [_callback(name, project) for name in dict.fromkeys(names)]


def _wandb_is_set() -> bool:
    """Whether Weights & Biases has credentials; without them it would fail after work has begun."""
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    offline = os.environ.get("WANDB_MODE") in {"offline", "disabled", "dryrun"}
    return offline or bool(os.environ.get("WANDB_API_KEY")) or netrc.exists()


def _callback(name: str, project: str) -> Callback:
    if name == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        return MLflowLoggerCallback(experiment_name=project)
    from ray.air.integrations.wandb import WandbLoggerCallback

    return WandbLoggerCallback(project=project)
