"""Turn a picture upright, as its EXIF orientation says."""

from PIL import ExifTags, Image

__all__ = ["upright"]

# EXIF 2.32, tag 0x0112 (Orientation): how to get from the stored rows to the upright picture.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(picture: Image.Image) -> Image.Image:
    """The picture, turned and mirrored as EXIF tag 0x0112 (else its copy in XMP) says.

    A missing, broken or unknown orientation leaves the picture as it is stored: cameras and
    programs write all kinds of EXIF, and the pixels are intact. `PIL.ImageOps.exif_transpose` is
    not used, because it writes the EXIF anew and fails where it cannot.

    Args:
        picture: of Pillow, loaded. Pillow turns TIFF files itself and removes their tag, so that
            they are not turned twice.
    """
    try:
        turn = _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # crafted EXIF fails in many ways
        return picture
    return picture if turn is None else picture.transpose(turn)
