"""List the images of a source in parts, and read them one after the other, however many there are.

| source | parts |
| --- | --- |
| `breastmnist`, `a.npz`, `phantom:breastmnist` | its three splits |
| `images/`, `s3://bucket/images` | files, some hundreds per part: PNG, JPEG, TIFF, DICOM |
| `'images/**/*.dcm'` | the files that match |
| `a.parquet`, and Parquet files in a folder | row groups, with an image column |
| what in a folder is no file, or cannot be read | all of it: rejects, with the reasons |

A `Part` is a description without pixels: it is small, can be sent to any process, and reads its
images on demand. An image is yielded as pixels, as the bytes of a file that is not decoded yet, or
as an `ImageError` if it cannot be read. Its id is `source/split/index`; for files the index is the
path within the folder, for Parquet the file and the row.

Hidden files and folders (`.name`), the folder of results and MEDLABEL_HOME are left out, and each
folder of other results of medlabel is one reject. Linked folders are followed; see
`medlabel.data.listing.local` for what happens where links meet.
"""

from medlabel.data.listing.arrays import NpzPart, PhantomPart
from medlabel.data.listing.files import FilesPart
from medlabel.data.listing.parquet import ParquetPart
from medlabel.data.listing.parts import UNREADABLE, Content, Part, decoded, digest_of, pixels_of
from medlabel.data.listing.rejects import RejectsPart
from medlabel.data.listing.source_parts import absolute_source, list_all_parts, list_parts

__all__ = [
    "UNREADABLE",
    "Content",
    "FilesPart",
    "NpzPart",
    "ParquetPart",
    "Part",
    "PhantomPart",
    "RejectsPart",
    "absolute_source",
    "decoded",
    "digest_of",
    "list_all_parts",
    "list_parts",
    "pixels_of",
]
