"""How often is an image encoded, when all pairs of four real sources are drawn thirty times?

`python -m benchmarks.encodes [--quick]`: with an embedding table that starts empty, every pair and
every seed asks for the embeddings of its pool and test, as `medlabel run` does. The images encoded
are counted, and the distinct ones among those that were asked for: once each is what it should be.
"""

import tempfile
from itertools import combinations

from benchmarks.common import FILES, arguments, class_of, finish
from medlabel.data.tasks import open_sources, parse_task, sample_cells, source_image
from medlabel.storage.digests import digest_image
from medlabel.storage.home import default_home
from medlabel.storage.store import Store
from medlabel.teacher.clip import load_clip
from medlabel.teacher.embeddings import EmbeddingTable
from rayjobs.cluster import connect
from rayjobs.embed import embed_sampled
from rayjobs.pretrain import ensure_phantom_clip

PER_CLASS = 625  # all of the NIH file's training images; the two large sets give no more either


def main() -> None:
    """Ask for all of it, cell by cell's pair, and count."""
    options = arguments("Encodes of a sweep", "runs/encodes")
    seeds = range(2 if options.quick else options.seeds)
    connect()
    clip = load_clip(ensure_phantom_clip(default_home()), "cpu")
    rows, asked = [], 0
    distinct: set[bytes] = set()
    with tempfile.TemporaryDirectory() as folder:
        table = EmbeddingTable(Store(folder), clip.key)
        for names in combinations(FILES, 2):
            task = parse_task(",".join(class_of(name, options.data_root) for name in names))
            sources = open_sources(task)
            cells, _ = sample_cells(task, sources, seeds, PER_CLASS)
            uses = sum(len(cell.pool) + len(cell.test) for cell in cells)
            ids = sorted({image_id for cell in cells for image_id in (*cell.pool, *cell.test)})
            images = {image_id: source_image(sources, image_id) for image_id in ids}
            _, encoded = embed_sampled(clip, images, table)
            distinct |= {digest_image(image) for image in images.values()}
            asked += uses
            rows.append({"pair": " / ".join(names), "uses": uses, "encoded": encoded})
            print(rows[-1], flush=True)
    total = sum(int(str(row["encoded"])) for row in rows)
    finish(rows, uses=asked, encoded=total, distinct=len(distinct), once=total == len(distinct))


if __name__ == "__main__":
    main()
