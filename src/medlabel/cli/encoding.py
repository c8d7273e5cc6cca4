"""The command line in a locale that is not UTF-8.

Python decodes the names of files and the command line by the locale. With `LANG=de_DE.ISO-8859-1`,
or `LC_ALL=C` where Python's own remedies are off (`PYTHONUTF8=0`), a file that everybody else calls
`Düsseldorf.png` would have another name in medlabel's tables, and all workers would have to be
started in the same locale. So the command starts itself again in Python's UTF-8 mode (PEP 540),
which its workers inherit. Output keeps the terminal's encoding.
"""

import codecs
import locale
import os
import sys
from io import TextIOWrapper

from medlabel.errors import MedlabelError

__all__ = ["never_fail_to_print", "typed", "use_utf8"]

_STARTED_AGAIN = "MEDLABEL_UTF8"  # so that an option of Python's that wins causes no endless loop


def use_utf8() -> None:
    """Start this process again in UTF-8 mode, unless file names are UTF-8 already."""
    if sys.getfilesystemencoding() == "utf-8" or _STARTED_AGAIN in os.environ:
        return
    environment = os.environ | {"PYTHONUTF8": "1", _STARTED_AGAIN: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606  (this one)


def never_fail_to_print() -> None:
    r"""Print what the terminal has no character for as `\xfc`, in the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=_terminal_encoding(), errors="backslashreplace")


def _terminal_encoding() -> str | None:
    """That of the locale in UTF-8 mode, which changes the encoding of output; else None.

    A locale without any characters but ASCII is one that nobody chose: Python's UTF-8 stays.
    """
    encoding = locale.getencoding()
    chosen = sys.flags.utf8_mode and "PYTHONIOENCODING" not in os.environ
    try:
        return encoding if chosen and codecs.lookup(encoding).name != "ascii" else None
    except LookupError:
        return None


def typed(text: str) -> str:
    """An argument that is a text and not a path, such as the name of a class.

    Bytes that are not UTF-8 were typed in the terminal's encoding.

    Raises:
        MedlabelError: they are not text in that encoding either.
    """
    data = os.fsencode(text)
    for encoding in ("utf-8", locale.getencoding()):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    raise MedlabelError(f"{text!a} is not text: set LANG to the encoding of your terminal")
