import numpy as np
import pytest

from medlabel.embeddings import EmbeddingTable
from medlabel.errors import MedlabelError
from medlabel.sources import open_source
from medlabel.store import Store

IDS = ["dark/train/0", "bright/test/3", "dark/train/7", "dark/val/0"]
VALUES = np.arange(12, dtype=np.float16).reshape(4, 3)


@pytest.fixture
def sources(dark, bright):
    return {str(path): open_source(str(path)) for path in (dark, bright)}


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "embeddings"))


def test_what_is_written_is_read_by_id(store, sources):
    table = EmbeddingTable(store, "m", sources)
    table.write(IDS, VALUES)
    np.testing.assert_array_equal(table.matrix(IDS[::-1]), VALUES[::-1])
    assert table.read(["dark/train/1"]) == {}
    assert len(store.list("model=m/source=*/split=*/part-*.parquet")) == 3


def test_other_models_and_other_pixels_have_tables_of_their_own(store, sources, tmp_path):
    from support import write_npz

    EmbeddingTable(store, "m", sources).write(IDS, VALUES)
    changed = open_source(str(write_npz(tmp_path / "dark.npz", level=61)))
    assert EmbeddingTable(store, "other", sources).read(IDS) == {}
    assert EmbeddingTable(store, "m", {"dark": changed}).read(["dark/train/0"]) == {}


def test_a_damaged_part_is_named(store, sources):
    table = EmbeddingTable(store, "m", sources)
    table.write(IDS[:1], VALUES[:1])
    (name,) = store.list("model=m/source=*/split=*/part-*.parquet")
    store.write(name, store.read(name)[:100])
    with pytest.raises(MedlabelError, match="damaged; delete it"):
        table.read(IDS[:1])
