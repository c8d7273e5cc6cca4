import pytest
from support import write_npz

from medlabel.data.sources import open_source
from medlabel.data.tasks import parse_task
from medlabel.errors import MedlabelError
from medlabel.experiments import run_folder as runs
from medlabel.reports.run_report import report_run
from medlabel.storage.store import Store


def test_a_report_is_refused_where_the_images_have_changed(dark, bright, tmp_path):
    task = parse_task(f"dark={dark},bright={bright}")
    store = Store(str(tmp_path / "run"))
    hashes = {str(path): open_source(str(path)).content_hash for path in (dark, bright)}
    manifest = {"task": task.model_dump(mode="json"), "sources": hashes}
    store.write_json(runs.MANIFEST, {**manifest, "seeds": 1, "per_class": None})
    write_npz(dark, level=61)
    with pytest.raises(MedlabelError, match=r"dark\.npz has changed"):
        report_run(store)
