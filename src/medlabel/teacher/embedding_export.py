"""Export the embeddings of some sources as a Parquet data set.

```
OUT/model=KEY/source=NAME/split=SPLIT/part-*.parquet   image_id, digest, embedding float16[D]
OUT/rejects.parquet                                     image_id, reason
OUT/embed.json                                          the last configuration, and the counts
```

The number of images always equals the number of rows plus rejects; a difference is an error. Rows
of images that the sources do not hold now are kept, unless `prune` says otherwise: a folder may be
missing for a while.
"""

import glob
from collections.abc import Collection, Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medlabel.data.listing import Part
from medlabel.data.sources import SPLITS
from medlabel.errors import MedlabelError
from medlabel.storage.digests import Digests, digest_bytes, hex_digest, to_digests
from medlabel.storage.progress import StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.teacher.digest_catalogue import Catalogue
from medlabel.teacher.embeddings import Contents, EmbeddingTable, Shard

__all__ = ["EXPORT_MANIFEST", "REJECTS", "Exported", "export", "write_rejects"]

EXPORT_MANIFEST, REJECTS = "embed.json", "rejects.parquet"
_LONGEST = 200  # bytes of a source's name in the name of a folder, which may have 255
_PIECE = 8192  # rows per file, and the largest number in memory at once


class Exported(NamedTuple):
    """What `export` returns.

    Attributes:
        rejects: the reason for each rejected image, by image id.
        others: number of rows of images that the sources do not hold now: kept, or removed.
    """

    rejects: dict[str, str]
    others: int


def export(
    out: Store,
    model_key: str,
    parts: Sequence[Part],
    catalogues: Sequence[Catalogue],
    table: EmbeddingTable,
    on_progress: StageProgress = ignore_progress,
    *,
    prune: bool = False,
) -> Exported:
    """Write the rows of some parts, and remove them from files of an earlier export.

    Args:
        out: where to write.
        model_key: of the model.
        parts: of the sources.
        catalogues: of the parts.
        table: the embeddings.
        on_progress: called with the number of images that are done.
        prune: whether to remove rows of images that the sources do not hold.

    Raises:
        MedlabelError: images changed while they were read; or rows would be removed because their
            folder cannot be listed.
    """
    contents, rejects = table.contents(), dict[str, str]()
    written: set[str] = set()
    total, done = sum(part.count for part in parts), 0
    for part, entry in zip(parts, catalogues, strict=True):
        folder = f"{_folder(model_key, part.source)}/split={part.split}"
        for start in range(0, part.count, _PIECE):
            rows = np.arange(start, min(start + _PIECE, part.count))
            piece, reasons = _piece(part, entry, rows, contents, table)
            rejects |= reasons
            if len(piece):
                name = f"{folder}/part-{part.key[:12]}-{start:08d}.parquet"
                out.write(name, _to_bytes(piece))
                written.add(name)
            done += len(piece) + len(reasons)
            on_progress(done, total)
    if done != total:
        raise MedlabelError(f"{total} images came in and {done} rows went out: please report this")
    return Exported(rejects, _settle(out, model_key, parts, written, prune=prune))


def _settle(
    out: Store, model_key: str, parts: Sequence[Part], written: Collection[str], *, prune: bool
) -> int:
    """Remove from older files the rows that were written anew; returns how many others there are.

    A file that is no table of embeddings is not ours, and stays.
    """
    ids = [digest_bytes(part.image_id(row).encode()) for part in parts for row in range(part.count)]
    now, others = to_digests(ids), 0
    unlisted = [p.image_id(row) for p in parts if p.is_rejected for row in range(p.count)]
    for source in {part.source for part in parts}:
        folder = glob.escape(_folder(model_key, source))
        for name in out.list(f"{folder}/split=*/part-*.parquet"):
            old = None if name in written else _read_ours(out, name)
            if old is None:
                continue
            left = _others(old, now)
            others += len(left)
            if prune:
                _check_listed(left, unlisted)
            if prune or not len(left):
                out.remove(name)
            elif len(left) < len(old):
                out.write(name, _to_bytes(left))
    return others


def _read_ours(out: Store, name: str) -> pa.Table | None:
    """A file of an earlier export; None if it is something else."""
    try:
        table = pq.ParquetFile(BytesIO(out.read(name))).read()
    except (pa.ArrowException, OSError):
        return None
    return table if {"image_id", "digest", "embedding"} <= set(table.column_names) else None


def _others(table: pa.Table, now: Digests) -> pa.Table:
    """The rows of images that the sources do not hold now."""
    ids = to_digests([digest_bytes(one.encode()) for one in table["image_id"].to_pylist()])
    return table.filter(pa.array(~np.isin(ids, now)))


def _check_listed(rows: pa.Table, unlisted: Sequence[str]) -> None:
    for image_id in rows["image_id"].to_pylist() if unlisted else ():
        around = (
            one for one in unlisted if image_id.startswith((one.rstrip("/") + "/", f"{one}#"))
        )
        folder = next(around, None)  # or a Parquet file
        if folder is not None:
            raise MedlabelError(
                f"--prune: {folder} cannot be read, and there are embeddings of images in it: "
                "make it readable or move it away, or run without --prune"
            )


def _folder(model_key: str, source: str) -> str:
    """The folder of a source: its name, encoded as in Hive's partitions, and cut if it is long."""
    name = source.replace("%", "%25").replace("/", "%2F")
    if len(name.encode()) > _LONGEST:
        start = name.encode()[: _LONGEST // 2].decode(errors="ignore")
        name = f"{start}-{hex_digest(source, 16)}"
    return f"model={model_key}/source={name}"


def _piece(
    part: Part,
    entry: Catalogue,
    rows: np.ndarray,
    contents: Contents,
    table: EmbeddingTable,
) -> tuple[pa.Table, dict[str, str]]:
    """Return some rows of a part as a table, and the reasons for rejected images by id."""
    ids = [part.image_id(int(row)) for row in rows]
    reasons = {i: r for i, row in zip(ids, rows, strict=True) if (r := entry.reasons[row])}
    readable = np.array([image_id not in reasons for image_id in ids])
    digests = entry.digests[rows[readable]]
    if (contents.find(digests) < 0).any():
        raise MedlabelError(f"images of {part.source} changed while they were read: run again")
    shard = table.gather(contents, digests)
    names = [image_id for image_id in ids if image_id not in reasons]
    reasons |= {i: r for i, r in zip(names, shard.reasons, strict=True) if r}
    return _to_table(names, shard), reasons


def _to_table(ids: Sequence[str], shard: Shard) -> pa.Table:
    kept = np.array([reason is None for reason in shard.reasons], dtype=bool)
    half = shard.embeddings[kept]
    width = max(1, half.shape[1])
    return pa.table(
        {
            "image_id": [image_id for image_id, keep in zip(ids, kept, strict=True) if keep],
            "digest": [digest.ljust(16, b"\0").hex() for digest in shard.digests[kept].tolist()],
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(half.ravel()), width),
        }
    )


def _to_bytes(table: pa.Table) -> bytes:
    buffer = BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def write_rejects(out: Store, rejects: Mapping[str, str], sources: Collection[str]) -> None:
    """Write `rejects.parquet`, one row per image without an embedding.

    Rows of other sources than `sources`, from earlier exports, are kept.
    """
    mine = tuple(f"{source}/{split}/" for source in sources for split in ("all", *SPLITS))
    rows = dict(rejects)
    if out.exists(REJECTS):
        before = out.read_table(REJECTS)
        for image_id, reason in zip(before["image_id"], before["reason"], strict=True):
            if not image_id.startswith(mine):
                rows[image_id] = reason
    table = pd.DataFrame(sorted(rows.items()), columns=["image_id", "reason"], dtype=str)
    out.write_table(REJECTS, table)
