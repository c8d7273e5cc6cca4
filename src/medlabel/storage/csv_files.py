"""CSV files that people write and read: with Excel, with a text editor, or with a program.

Programs write CSV differently, so `read_csv` accepts:

| what differs | accepted |
| --- | --- |
| the delimiter | a comma; a semicolon (Excel where the comma is the decimal sign); a tab |
| the first line | may be Excel's `sep=;` |
| the encoding | UTF-8; UTF-16 with a byte order mark (Excel's "Unicode Text") |
| the ends of lines | `\\n`, `\\r\\n`; both may occur within quotes |

The delimiter is the one that finds most of the expected columns in the header; only then the one
that finds most columns. Nothing is guessed from the rows.

A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@` or a control character as a formula,
and names of files and classes come from anywhere. So `write_csv` marks such a text with an
apostrophe, and `unescape` takes exactly this apostrophe off again: every text reads back, also one
that began with an apostrophe.
"""

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medlabel.errors import MedlabelError, reason

if TYPE_CHECKING:
    from _csv import Reader

__all__ = ["CsvTable", "escape", "read_csv", "read_number", "unescape", "write_csv"]

_DELIMITERS = ",;\t"  # the first wins a tie
_SEP = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r\n]")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


def escape(text: str) -> str:
    """Mark as text what a spreadsheet would run as a formula.

    >>> [escape(text) for text in ("chest", "=1+1", "'quoted'", "'=1+1")]
    ['chest', "'=1+1", "'quoted'", "''=1+1"]
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unescape(text: str) -> str:
    """Return the text that `escape` was given.

    >>> [unescape(text) for text in ("chest", "'=1+1", "'quoted'", "''=1+1")]
    ['chest', '=1+1', "'quoted'", "'=1+1"]
    """
    return text[1:] if _ESCAPED.match(text) else text


@dataclass(frozen=True)
class CsvTable:
    """The rows of a CSV file.

    Attributes:
        path: of the file, for messages.
        columns: names in the header.
        rows: number of the line and cells by column, as they are in the file, for each row.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]

    def require(self, *names: str) -> None:
        """Raise a `MedlabelError` that names the columns there are, unless each name is one."""
        seen = Counter(self.columns)
        if missing := sorted(name for name in names if not seen[name]):
            found = ", ".join(self.columns) or "none"
            raise MedlabelError(
                f"{self.path} has no column {' and no '.join(missing)}; its columns are: {found}"
            )
        if double := [name for name in names if seen[name] > 1]:
            raise MedlabelError(f"{self.path} has two columns {double[0]}: remove one")


def read_csv(path: Path, expected: Sequence[str], most_rows: int | None = None) -> CsvTable:
    """Read a CSV file.

    Args:
        path: the file.
        expected: names of columns, of which the file may lack some; they decide the delimiter.
        most_rows: a file with more lines is refused.

    Raises:
        MedlabelError: the file cannot be read, is not text or not CSV, or is too long.
    """
    try:
        text, skipped = _without_sep(_decoded(path.read_bytes()))
        delimiter, columns = _header(text[0], text[1], expected)
        rows = _rows(path, text[0], (delimiter, columns), skipped, most_rows)
        return CsvTable(path, columns, tuple(rows))
    except (OSError, UnicodeError, csv.Error) as error:
        advice = "; save it as CSV in UTF-8" if isinstance(error, UnicodeError) else ""
        raise MedlabelError(f"{path}: {reason(error)}{advice}") from error


def _decoded(data: bytes) -> str:
    wide = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig")


def _without_sep(text: str) -> tuple[tuple[str, str], int]:
    """The text and the delimiters to try; and how many lines were left out before the header."""
    if found := _SEP.match(text):
        return (text[found.end() :], found[1]), 1
    return (text, _DELIMITERS), 0


def _header(text: str, delimiters: str, expected: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The delimiter, and the names of the columns."""
    wanted, found = set(expected), list[tuple[int, int, int, str, tuple[str, ...]]]()
    for place, delimiter in enumerate(delimiters):
        try:
            names: list[str] = next(_reader(text, delimiter), [])
        except csv.Error:  # quotes that make no sense with this delimiter
            continue
        columns = tuple(_column(name, wanted) for name in names)
        found.append((len(wanted & set(columns)), len(columns), -place, delimiter, columns))
    if not found:
        raise csv.Error("its first line is not the header of a CSV file")
    *_, delimiter, columns = max(found)
    return delimiter, columns


def _column(name: str, wanted: set[str]) -> str:
    """The name of a column; without blanks, an apostrophe or capitals if it is expected so."""
    likely = (name, unescape(name), name.strip(), unescape(name.strip()), name.strip().lower())
    return next((one for one in likely if one in wanted), name)


def _rows(
    path: Path, text: str, header: tuple[str, tuple[str, ...]], skipped: int, most: int | None
) -> Iterator[tuple[int, Mapping[str, str]]]:
    delimiter, columns = header
    reader = _reader(text, delimiter)
    next(reader, None)
    while (cells := _next_cells(path, reader, skipped)) is not None:
        number = reader.line_num + skipped
        if most is not None and number > most:
            raise MedlabelError(f"{path} has more than {most:,} lines")
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise MedlabelError(
                f"{path} line {number}: {len(cells)} cells for {len(columns)} columns; put a text "
                f"that contains {delimiter!r} in quotes"
            )
        if cells:
            filled = [*cells, *[""] * (len(columns) - len(cells))]
            yield number, dict(zip(columns, filled, strict=False))


def _next_cells(path: Path, reader: "Reader", skipped: int) -> list[str] | None:
    """The cells of the next row; None at the end of the file."""
    try:
        return next(reader, None)
    except csv.Error as error:  # a quote that is not closed would swallow the rest of the file
        line = reader.line_num + skipped
        raise MedlabelError(f"{path} line {line}: its quotes do not match ({error})") from error


def _reader(text: str, delimiter: str) -> "Reader":
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def read_number(text: str) -> float:
    """The number in a cell; a comma may be its decimal sign. An empty cell is NaN.

    Raises:
        ValueError: it is not a number.

    >>> read_number(" 0.25"), read_number("0,25")
    (0.25, 0.25)
    """
    plain = text.strip()
    return float(plain.replace(",", ".") if _DECIMAL_COMMA.fullmatch(plain) else plain or "nan")


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV, with commas; texts are escaped as `unescape` undoes it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for cells in (columns, *rows):
        writer.writerow([escape(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue()
