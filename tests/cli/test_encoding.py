"""The command line in 8-bit locales, in processes of its own."""

import csv
import json
import os
import subprocess
import sys

import pytest
from support_annotations import annotate_folder

from medlabel.cli.encoding import typed
from medlabel.errors import MedlabelError

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SHOW = r"""
import sys
from medlabel.cli.encoding import never_fail_to_print, use_utf8
use_utf8()
never_fail_to_print()
print(sys.argv[1], "Größe", "日本", "\udcff", ascii(sys.argv[1]))
"""
EXPORT = """
import sys
from medlabel.cli.app import main
folder = sys.argv[1]
for name in ("labels.csv", "labels.coco.json", "sorted"):
    sys.argv = ["medlabel", "export", f"{folder}/out", "--out", f"{folder}/{name}"]
    try:
        main()
    except SystemExit as end:
        assert not end.code
"""


@pytest.fixture(scope="module")
def latin(tmp_path_factory):
    """A locale of ISO 8859-1, compiled for this test, since few machines have one."""
    folder = tmp_path_factory.mktemp("locales")
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine cannot compile locales")
    return {"LOCPATH": str(folder), "LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0"}


def run(folder, locale, code, argument):
    """Exit code, output and errors of a program that is started in a locale."""
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name[:3] not in ("LC_", "LAN")}
    command = [sys.executable, str(script), argument]
    done = subprocess.run(command, env=kept | locale, capture_output=True)
    return done.returncode, done.stdout, done.stderr


def test_arguments_are_utf8_and_what_cannot_be_shown_is_escaped(latin, tmp_path):
    argument = os.fsdecode("Düsseldorf".encode())
    wide, escaped = "日本", "\\u65e5\\u672c"
    for locale, encoding, shown in (
        (latin, "latin-1", escaped),
        (ASCII, "utf-8", wide),
        (ASCII | {"PYTHONIOENCODING": "latin-1"}, "latin-1", escaped),
    ):
        expected = f"Düsseldorf Größe {shown} \\udcff 'D\\xfcsseldorf'\n".encode(encoding)
        assert run(tmp_path, locale, SHOW, argument) == (0, expected, b"")


def test_an_export_keeps_the_names_of_files_and_classes(tmp_path, monkeypatch):
    monkeypatch.setattr("support_annotations.CLASSES", ["Brüste", "胸"])
    folder = tmp_path / "Düsseldorf"
    annotate_folder(folder, count=2, broken=0)
    code, _, errors = run(tmp_path, ASCII, EXPORT, str(folder))
    assert (code, errors) == (0, b"")
    uris = {str(path) for path in (folder / "scans").iterdir()}
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["uri"] for row in rows} == uris
    assert {"p_Brüste", "p_胸"} <= set(rows[0])
    coco = json.loads((folder / "labels.coco.json").read_text(encoding="utf-8"))
    assert {one["file_name"] for one in coco["images"]} == uris
    assert {path.name for path in (folder / "sorted").iterdir()} <= {"Brüste", "胸"}


def test_a_class_that_was_typed_in_the_terminals_encoding(monkeypatch):
    typed_in_latin = os.fsdecode("Brüste".encode("latin-1"))
    monkeypatch.setattr("medlabel.cli.encoding.locale.getencoding", lambda: "ISO-8859-1")
    assert typed(typed_in_latin) == typed("Brüste") == "Brüste"
    monkeypatch.setattr("medlabel.cli.encoding.locale.getencoding", lambda: "UTF-8")
    with pytest.raises(MedlabelError, match=r"'Br\\udcfcste' is not text: set LANG"):
        typed(typed_in_latin)
