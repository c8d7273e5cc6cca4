"""The table of annotations of any number of images: a folder of Parquet files.

```
OUT/annotations/part-RUN-START-CHECKSUM.parquet   one row per image with a label
OUT/rejects.parquet                               uri, reason: one row per image without a label
OUT/annotate.json                                 provenance, counts, a hash over all files
OUT/summary/index.html
```

A file holds a piece: images that were labelled one after the other. It is written atomically, and
its name holds the checksum of its bytes. The piece's rejects are stored in the file's metadata, so
that a piece is never half present. All batches have one size; each image keeps its place in its
batch, and rejects are black squares. So a label depends on nothing but the image, its place and the
student, and is reproduced bit for bit whenever it is computed again.

The table is kept image by image. A row says which file it is about: its address, and a stamp that
changes with the file (`identities`). Only images that no row is about are labelled. A file whose
stamp has changed is read again; if its content is the same, its row stays, else the new row
replaces the old one, once it is written (`settle`). A label of an image that the sources do not
hold now is kept until somebody asks to remove it.

| column | content |
| --- | --- |
| `uri` | path or URI of the file, followed by `#` and the place in it, if it holds several images |
| `digest` | 32 hex digits of the SHA-256 of the content, as in the embedding table |
| `label`, `confidence` | the most probable class, and its probability |
| `p_CLASS` | one float32 per class; they sum to 1 |
| `ood_score` | out-of-distribution score; above 1 is out of distribution, null if unknown |
| `decision`, `review_reasons` | `auto` or `review`, and why (see `medlabel.student.decision`) |
| `bundle`, `weights` | id of the student, and the SHA-256 of its weights |
| `teacher`, `teacher_model`, `captions` | name, identifier of its weights, hash of its captions |
| `recipe`, `seed`, `auto_above` | more of the provenance |
| `verdict`, `doubtful_below` | the verdict on the student's labels, empty if it has none; the |
| | probability below which a doubtful verdict supports no label |
| `learned_from` | `drawn`, `mixed` or `real` images; empty if unknown |
| `versions`, `time` | the rest of the provenance |
| `stamp` | a digest of the file's size, time and ETag when it was listed |
| `place` | of the image in its batch, from 0 |
| `own_range` | whether it has more than 8 bits and no window: scaled by its own range of values |
"""

from medlabel.annotation.table.identities import Entries, Listing, Work, cut_work
from medlabel.annotation.table.layout import Layout, Origin
from medlabel.annotation.table.manifest import Claim, claim, sign
from medlabel.annotation.table.pieces import (
    LAYOUT,
    MANIFEST,
    REJECTS,
    AnnotationTable,
    Confirmed,
    Piece,
    Reject,
    signature,
    signed_pieces,
)
from medlabel.annotation.table.prune import check_prune
from medlabel.annotation.table.reading import DecodedPiece, label_pieces, read_pieces
from medlabel.annotation.table.settle import Changes, settle

__all__ = [
    "LAYOUT",
    "MANIFEST",
    "REJECTS",
    "AnnotationTable",
    "Changes",
    "Claim",
    "Confirmed",
    "DecodedPiece",
    "Entries",
    "Layout",
    "Listing",
    "Origin",
    "Piece",
    "Reject",
    "Work",
    "check_prune",
    "claim",
    "cut_work",
    "label_pieces",
    "read_pieces",
    "settle",
    "sign",
    "signature",
    "signed_pieces",
]
