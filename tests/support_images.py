"""Small image files."""

from io import BytesIO

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
