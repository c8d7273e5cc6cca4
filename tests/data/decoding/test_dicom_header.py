"""What a DICOM file says of its pixels is read wherever it stands; other objects are named."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from broken_images import dicom_bytes, refusal
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeformableSpatialRegistrationStorage,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    EnhancedUSVolumeStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    ParametricMapStorage,
    RTDoseStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    TwelveLeadECGWaveformStorage,
)

from medlabel.data.decoding import ImageError, decode_image
from medlabel.data.decoding.dicom_header import begins_like_dicom

VALUES = np.linspace(0, 4032, 64).astype(np.uint16).reshape(8, 8)
RESCALING = {"RescaleIntercept": -1024, "RescaleSlope": 1}
WINDOW = {"WindowCenter": 40, "WindowWidth": 400}
OTHER = {"WindowCenter": [1000, 40], "WindowWidth": [10, 400], "VOILUTFunction": "SIGMOID"}
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def groups(**tags):
    """One item of functional groups with rescaling or a window."""
    item = Dataset()
    for sequence, keywords in (
        ("PixelValueTransformationSequence", ("RescaleIntercept", "RescaleSlope")),
        ("FrameVOILUTSequence", ("WindowCenter", "WindowWidth", "VOILUTFunction")),
    ):
        held = Dataset()
        for keyword in tags.keys() & set(keywords):
            setattr(held, keyword, tags[keyword])
        if held:
            setattr(item, sequence, [held])
    return [item]


def enhanced(shared=None, of_frame=None, syntax=ExplicitVRLittleEndian, **header):
    sequences = {
        "SharedFunctionalGroupsSequence": shared and groups(**shared),
        "PerFrameFunctionalGroupsSequence": of_frame and groups(**of_frame),
    }
    header |= {keyword: items for keyword, items in sequences.items() if items}
    header = {"SOPClassUID": EnhancedCTImageStorage, "NumberOfFrames": 1} | header
    return dicom_bytes(VALUES, syntax, BitsStored=12, **header)


def element(number, uid):
    """A UID in the meta header."""
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return struct.pack("<HH2sH", 2, number, b"UI", len(value)) + value


def bare(data, meta=False):
    """The file without its preamble, and without its meta header unless `meta`."""
    if meta:
        return data[132:]
    length = struct.unpack_from("<L", data, 140)[0]
    return data[144 + length :]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("shared", "of_frame", "top"),
    [
        (RESCALING | WINDOW, None, {}),
        (None, RESCALING | WINDOW, {}),
        (RESCALING, WINDOW, {}),
        (OTHER, RESCALING | WINDOW, {}),
        (RESCALING, WINDOW, OTHER | {"RescaleSlope": 7, "RescaleIntercept": 0}),
        (RESCALING, None, WINDOW),
    ],
    ids=["shared", "frame", "both", "frame wins", "groups win", "window on top"],
)
def test_functional_groups_hold_as_the_tags_of_a_classic_image(shared, of_frame, top, syntax):
    classic = dicom_bytes(VALUES, syntax, BitsStored=12, **RESCALING, **WINDOW)
    decoded = decode_image(enhanced(shared, of_frame, syntax, **top))
    np.testing.assert_array_equal(decoded, decode_image(classic))
    expected = np.clip((VALUES.astype(float) - 1024 - 39.5) / 399 + 0.5, 0, 1)
    assert abs(decoded - 255 * expected).max() <= 0.5 + 1e-9


def test_function_of_a_window_is_taken_from_its_group():
    exact = WINDOW | {"VOILUTFunction": "LINEAR_EXACT"}
    decoded = decode_image(enhanced(RESCALING, exact))
    expected = np.clip((VALUES.astype(float) - 1024 - 40) / 400 + 0.5, 0, 1)
    np.testing.assert_array_equal(decoded, np.rint(255 * expected))


def test_frames_are_counted_before_their_groups_are_parsed():
    data = enhanced(RESCALING, WINDOW, NumberOfFrames=9) + b"\0\x54"  # no groups can be read here
    assert refusal(data).reason == "9 frames: send one image per file"


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        (SegmentationStorage, "Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.66.7", "Label Map Segmentation"),
        (RTDoseStorage, "RT Dose"),
        (RTStructureSetStorage, "RT Structure Set"),
        (ParametricMapStorage, "Parametric Map"),
        (GrayscaleSoftcopyPresentationStateStorage, "Grayscale Softcopy Presentation State"),
        (EncapsulatedPDFStorage, "Encapsulated PDF"),
        (TwelveLeadECGWaveformStorage, "12-lead ECG Waveform"),
        (DeformableSpatialRegistrationStorage, "Deformable Spatial Registration"),
        ("1.2.840.10008.1.3.10", "Media Storage Directory"),
    ],
)
@pytest.mark.parametrize("pixels", [{}, {"PixelData": None}], ids=["pixels", "none"])
def test_objects_that_are_no_images_are_refused_by_name(uid, name, pixels):
    refused = refusal(dicom_bytes(VALUES, SOPClassUID=uid, **pixels))
    assert refused.kind == "unsuitable"
    assert refused.reason == f"a DICOM {name} object, not an image"


def test_private_classes_are_read_if_they_hold_an_image():
    uid = "1.2.3.4711"
    assert decode_image(dicom_bytes(VALUES, SOPClassUID=uid, Modality="CT")).shape == (8, 8)
    reason = refusal(dicom_bytes(VALUES, SOPClassUID=uid, Modality="SEG")).reason
    assert reason == "a DICOM Segmentation object, not an image"


@pytest.mark.parametrize("uid", [CTImageStorage, EnhancedUSVolumeStorage])
def test_registered_images_are_read(uid):
    assert decode_image(dicom_bytes(VALUES, SOPClassUID=uid)).shape == (8, 8)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("meta", [True, False], ids=["meta", "no meta"])
def test_files_without_a_preamble_are_read(syntax, meta):
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    data = dicom_bytes(VALUES, syntax, BitsStored=12, PixelData=VALUES.astype(order).tobytes())
    headless = bare(data, meta)
    assert headless[:4] in (b"\2\0\0\0", b"\x08\0\x16\0", b"\0\x08\0\x16")
    np.testing.assert_array_equal(decode_image(headless), decode_image(data))


def test_prefix_without_a_preamble_is_skipped():
    data = dicom_bytes(VALUES)
    np.testing.assert_array_equal(decode_image(data[128:]), decode_image(data))


def test_other_objects_without_a_preamble_are_named():
    data = bare(dicom_bytes(VALUES, SOPClassUID=RTStructureSetStorage, PixelData=None))
    assert refusal(data).reason == "a DICOM RT Structure Set object, not an image"


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("declared", [None, *SYNTAXES])
def test_first_element_decides_the_encoding_that_is_missing_or_wrong(syntax, declared):
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    data = dicom_bytes(VALUES, syntax, BitsStored=12, PixelData=VALUES.astype(order).tobytes())
    meta = element(2, CTImageStorage) + (element(16, declared) if declared else b"")
    decoded = decode_image(bytes(128) + b"DICM" + meta + bare(data))
    np.testing.assert_array_equal(decoded, decode_image(dicom_bytes(VALUES, BitsStored=12)))


def native(data):
    """A compressed file that claims to be uncompressed."""
    return data.replace(JPEGBaseline8Bit.encode(), ExplicitVRLittleEndian.encode().ljust(22, b"\0"))


@pytest.mark.parametrize("change", [bare, native])
def test_compressed_pixels_need_a_transfer_syntax(change):
    frame = b"\xff\xd8" + bytes(200)
    refused = refusal(change(dicom_bytes(VALUES, JPEGBaseline8Bit, PixelData=encapsulate([frame]))))
    assert refused.kind == "unsupported"
    assert "compressed pixels" in refused.reason


@pytest.mark.parametrize(
    "keyword", ["SamplesPerPixel", "PhotometricInterpretation", "Rows", "BitsStored"]
)
def test_what_is_missing_is_named(keyword):
    words = {"SamplesPerPixel": "Samples per Pixel", "BitsStored": "Bits Stored"}
    name = words.get(keyword, keyword.replace("cI", "c I"))
    reason = refusal(dicom_bytes(VALUES, **{keyword: None})).reason
    assert reason == f"a damaged DICOM file: it lacks {name}"


def test_pixels_that_end_early_are_damaged():
    refused = refusal(dicom_bytes(VALUES)[:-9])
    assert refused.kind == "damaged"
    assert refused.reason == "a damaged DICOM file: it ends before its last pixel"


def test_other_files_do_not_begin_like_dicom():
    rng = np.random.default_rng(0)
    starts = [b"", b"\2\0", b"\x08\0", b"\0\x08", b"\x08\0\x16\0", b"DICM", b"\2\0\x10\0UI"]
    noise = [start + rng.bytes(64) for start in starts for _ in range(300)]
    padded = [start + bytes(200) for start in starts]
    assert not any(map(begins_like_dicom, noise + padded + [b"\x08\0 text of a letter" * 9]))


def test_noise_behind_a_missing_preamble_raises_nothing_else():
    rng = np.random.default_rng(0)
    for data in (bare(enhanced(RESCALING, WINDOW)), bare(dicom_bytes(VALUES), meta=True)):
        for _ in range(60):
            broken = bytearray(data)
            for place in rng.integers(0, len(data), 3):
                broken[place] = rng.integers(256)
            with suppress(ImageError):
                assert decode_image(bytes(broken)).dtype == np.uint8


def test_reasons_hold_no_values():
    uid = "1.2.840.10008.5.1.4.1.1.7"
    data = dicom_bytes(VALUES, Rows=None).replace(uid.encode(), b"DOE JANE Storage".ljust(len(uid)))
    assert "DOE" not in refusal(data).reason
