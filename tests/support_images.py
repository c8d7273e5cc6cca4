"""Small image files."""

import os
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image


def png(level, size=(8, 6)):
    """The bytes of a grey picture of one level."""
    buffer = BytesIO()
    Image.new("L", size, level).save(buffer, "PNG")
    return buffer.getvalue()


def image_folder(root):
    """A folder of three pictures, of levels 1 to 3, the second in a folder of its own."""
    (root / "deep").mkdir(parents=True)
    for name, level in (("a.png", 1), ("deep/b.png", 2), ("c.png", 3)):
        (root / name).write_bytes(png(level))
    (root / ".hidden").write_bytes(b"x")
    return root


@contextmanager
def without_rights(*paths):
    """Nobody may read these files and list these folders, not even root, who runs tests in CI.

    Every folder above has to be open to all users: `open_folder` makes one.
    """
    modes = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@contextmanager
def open_folder():
    """A folder that all users may enter; pytest's own are closed."""
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
