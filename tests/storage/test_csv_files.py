import csv
import io
import random

import pytest

from medlabel.errors import MedlabelError
from medlabel.storage.csv_files import escape, read_csv, read_number, unescape, write_csv

NASTY = ("=1+1", "+ve", "-ve", "@x", "\tx", "\rx", "\nx", "'", "''", "'+ve", "''+ve", "'quoted'",
         "a,b", "a;b", "a\tb", 'a"b', '"', "a\r\nb", " a ", "ü", "日本", "sep=;", "a'=b", "%", "#",
         "x" * 249, "\x00", "\x7f")  # fmt: skip


def lines(path, *columns, expected=("uri", "answer")):
    table = read_csv(path, expected)
    return [tuple(line[name] for name in columns) for _, line in table.rows]


@pytest.fixture
def write(tmp_path):
    def written(content):
        path = tmp_path / "a.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def test_every_text_reads_back_and_none_is_a_formula(write):
    rng, letters = random.Random(0), "'=+-@\t\r\n,;\"a ü"
    made = {"".join(rng.choices(letters, k=rng.randint(1, 6))) for _ in range(3000)}
    texts = sorted(made.union(NASTY))
    assert [unescape(escape(text)) for text in texts] == texts
    assert len({escape(text) for text in texts}) == len(texts)
    assert not any(escape(text)[0] in "=+-@\t\r\n" for text in texts)
    path = write(write_csv(["uri", "answer"], [(text, text) for text in texts]))
    found = lines(path, "uri", "answer")
    assert [(unescape(one), unescape(other)) for one, other in found] == [(t, t) for t in texts]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("sep", [False, True])
def test_what_spreadsheets_write_is_read(write, delimiter, encoding, end, sep):
    rows = [("uri", "by", "answer"), ("/a;b,c\t1.png", "me", "ü"), ("/2.png", "", "x\ny")]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    content = (f"sep={delimiter}{end}" if sep else "") + text.getvalue()
    path = write(content.encode(encoding))
    assert lines(path, "uri", "by", "answer") == rows[1:]


def test_names_of_columns_may_have_capitals_and_blanks(write):
    path = write("URI; Answer\na.png;chest\n")
    assert lines(path, "uri", "answer") == [("a.png", "chest")]


def test_the_header_alone_decides_the_delimiter(write):
    path = write("uri;answer\n/a,b,c,d.png;x,y,z\n")
    assert lines(path, "uri", "answer") == [("/a,b,c,d.png", "x,y,z")]
    path = write("uri,a;b;c;d;e,answer\n1,2,3\n")  # more cells with semicolons, but not those asked
    assert lines(path, "uri", "answer") == [("1", "3")]
    path = write(" uri , answer \n1,2\n\n3\n4,5,,\n")
    assert lines(path, "uri", "answer") == [("1", "2"), ("3", ""), ("4", "5")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image;label\n", "has no column answer and no uri; its columns are: image, label$"),
        ("", "has no column answer and no uri; its columns are: none$"),
        ("uri,answer,answer\n", "has two columns answer: remove one"),
        ("uri,answer\n/a,b.png,chest\n", "line 2: 3 cells for 2 columns; put .* in quotes"),
        ('uri,answer\n1,"x\n2,y\n', "line 3: its quotes do not match"),
        ("uri,answer\n1,ü\n".encode("latin-1"), "can't decode.*save it as CSV in UTF-8"),
        (b"uri,answer\n" + b"1,2\n" * 3, "more than 3 lines"),
    ],
)
def test_mistakes_are_one_line(write, content, message):
    with pytest.raises(MedlabelError, match=message):
        read_csv(write(content), ["uri", "answer"], 3).require("uri", "answer")


def test_numbers_may_have_a_decimal_comma():
    cells = ("0.25", " 0,25 ", "-1,5e3", "1e-3", ",5")
    assert [read_number(cell) for cell in cells] == [0.25, 0.25, -1500, 0.001, 0.5]
    assert read_number("") != read_number("")
    for cell in ("1,2,3", "1.234,5", "x"):
        with pytest.raises(ValueError, match="could not convert"):
            read_number(cell)
