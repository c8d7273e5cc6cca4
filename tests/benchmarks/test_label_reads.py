"""The counters of `benchmarks.label_reads`, in a process of their own."""

import os
import subprocess
import sys

from benchmarks.label_reads import count_events, render_files

CODE = """
import hashlib, sys
from pathlib import Path
from benchmarks.label_reads import install_counters
install_counters()
from medlabel.data.listing import digest_of, list_parts, pixels_of
(part,) = list_parts(sys.argv[1])
list(part.read())
contents = list(part.read())
digest_of(contents[0])
hashlib.sha256(b"no image")
for content in contents[:3]:
    pixels_of(content)
"""


def test_reads_hashes_and_decodes_are_counted(tmp_path):
    render_files(tmp_path / "scans", 4)
    files = sorted((tmp_path / "scans").iterdir())
    assert len({file.read_bytes() for file in files}) == 4
    counts = tmp_path / "counts"
    counts.mkdir()
    environment = os.environ | {"MEDLABEL_COUNTS": str(counts)}
    subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "scans")], env=environment, check=True
    )
    assert count_events(counts) == {
        "reads": 8,
        "hashes": 1,
        "decodes": 3,
        "images read twice or more": 4,
        "most reads of one image": 2,
    }
