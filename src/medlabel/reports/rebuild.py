"""Write the report of a folder again, be it a run, a sweep or a search."""

from pathlib import Path

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import MANIFEST as RUN
from medlabel.experiments.sweep_tables import is_sweep
from medlabel.experiments.tune_tables import is_tune
from medlabel.reports.run_report import report_run
from medlabel.reports.sweep_report import report_sweep
from medlabel.reports.tune_report import report_tune
from medlabel.storage.store import Store

__all__ = ["rebuild"]


def rebuild(uri: str, data_root: Path | None = None) -> str:
    """Write the report of the run, sweep or search in this folder; returns the page's path.

    Raises:
        MedlabelError: the folder holds none of them.
    """
    store = Store(uri)
    if is_sweep(store):
        return report_sweep(store)
    if is_tune(store):
        return report_tune(store)
    if not store.exists(RUN):
        raise MedlabelError(f"{store.uri} holds no run, sweep or search")
    return report_run(store, data_root)
