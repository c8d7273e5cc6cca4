"""The embedding table: each image encoded once for each model, whatever is asked of it later.

It is a folder of Parquet files, `model=KEY/source=NAME-HASH/split=SPLIT/part-*.parquet`, with the
columns `image_id` and `embedding` (float16[D], of length one). Model and source are named by the
hashes of their content, so a changed file can never be served the embeddings of the old one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medlabel.errors import MedlabelError
from medlabel.sources import Source
from medlabel.store import Store

__all__ = ["EmbeddingTable"]


class EmbeddingTable:
    """Embeddings of images of some sources by one model."""

    def __init__(self, store: Store, model_key: str, sources: Mapping[str, Source]) -> None:
        self._store = store / f"model={model_key}"
        self._folders = {
            source.name: f"source={source.name}-{source.content_hash[:12]}"
            for source in sources.values()
        }

    def read(self, image_ids: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """The embeddings that are there already, by id."""
        wanted = set(image_ids)
        found: dict[str, NDArray[np.float16]] = {}
        for folder in sorted({self._folder(image_id) for image_id in wanted}):
            for name in self._store.list(f"{folder}/part-*.parquet"):
                ids, matrix = self._read_part(name)
                found |= {i: row for i, row in zip(ids, matrix, strict=True) if i in wanted}
        return found

    def matrix(self, image_ids: Sequence[str]) -> NDArray[np.float16]:
        """Embeddings float16 [N, D] in the order asked for; all must be there."""
        found = self.read(image_ids)
        return np.stack([found[image_id] for image_id in image_ids])

    def write(self, image_ids: Sequence[str], embeddings: NDArray[np.floating]) -> None:
        """Add embeddings [N, D], as one file a source and split."""
        folders = [self._folder(image_id) for image_id in image_ids]
        for folder in sorted(set(folders)):
            rows = [row for row, own in enumerate(folders) if own == folder]
            ids = [image_ids[row] for row in rows]
            digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
            self._store.write(f"{folder}/part-{digest}.parquet", _to_parquet(ids, embeddings[rows]))

    def _folder(self, image_id: str) -> str:
        name, split, _ = image_id.rsplit("/", 2)
        return f"{self._folders[name]}/split={split}"

    def _read_part(self, name: str) -> tuple[list[str], NDArray[np.float16]]:
        try:
            table = pq.read_table(BytesIO(self._store.read(name)))
        except (pa.ArrowException, OSError) as error:
            raise MedlabelError(
                f"{self._store.path(name)} is damaged; delete it and run again to make it anew"
            ) from error
        ids: list[str] = table.column("image_id").to_pylist()
        flat = table.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return ids, flat.reshape(len(ids), -1)


def _to_parquet(ids: list[str], embeddings: NDArray[np.floating]) -> bytes:
    half = np.ascontiguousarray(embeddings, dtype=np.float16)
    column = pa.FixedSizeListArray.from_arrays(pa.array(half.reshape(-1)), half.shape[1])
    buffer = BytesIO()
    pq.write_table(pa.table({"image_id": ids, "embedding": column}), buffer)
    return buffer.getvalue()
