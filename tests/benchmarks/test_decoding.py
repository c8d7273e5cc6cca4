"""The reference arithmetic agrees with the decoder, on public files and on random headers."""

import warnings
from pathlib import Path

import numpy as np
import pydicom.data
from broken_images import dicom_bytes
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from benchmarks.decoding.worker import Outcome, compared, decoded

PUBLIC = sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm"))


def outcome(data):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of many public files
        return compared(decoded(data), data)


def test_public_dicom_files_are_equal_or_refused():
    outcomes = {path.name: outcome(path.read_bytes()) for path in PUBLIC}
    kinds = [one.kind for one in outcomes.values()]
    assert {n: o for n, o in outcomes.items() if o.kind not in ("equal", "close", "refused")} == {}
    assert kinds.count("equal") > 30


def random_file(dice):
    """A grey file of random depth, sign, padding, rescaling, window, polarity and encoding."""
    allocated = int(dice.choice([8, 16, 32]))
    stored = int(dice.integers(max(2, allocated - 6), allocated + 1))
    signed, big = bool(dice.integers(2)), bool(dice.integers(3) == 0)
    high = int(dice.integers(stored - 1, allocated))
    low = -(2 ** (stored - 1)) if signed else 0
    ends = np.sort(dice.integers(low, low + 2**stored, 2))
    values = dice.integers(ends[0], ends[1] + 1, (6, 10))
    values[0, :2] = low, low + 2**stored - 1  # so that the place of the bits is plain
    words = (values % 2**stored << (high + 1 - stored)).astype(f"u{allocated // 8}")
    pixels = words.view(f"i{allocated // 8}") if signed else words
    header = {"BitsStored": stored, "HighBit": high, "Modality": "CT"}
    if dice.integers(2):
        header["PhotometricInterpretation"] = "MONOCHROME1"
    if dice.integers(2) and allocated < 32:
        header["PixelPaddingValue"] = int(values[0, dice.integers(10)])
        if dice.integers(2):
            header["PixelPaddingRangeLimit"] = int(values[1, 0])
    shown = random_display(dice)
    syntax = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)[dice.integers(2)]
    data = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
    if big:
        syntax = ExplicitVRBigEndian
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes() if allocated == 8 else data
    return dicom_bytes(pixels, syntax, PixelData=data, **header, **shown)


def random_display(dice):
    """Rescaling and a window, at the top level or in functional groups."""
    rescaling, window = Dataset(), Dataset()
    if dice.integers(2):
        rescaling.RescaleSlope = float(dice.choice([1, 2, -1, 0.5, 1 / 64]))
        rescaling.RescaleIntercept = float(dice.choice([0, -1024, 3.25]))
    if dice.integers(2):
        window.WindowCenter = [float(dice.choice([0, 40, 128, 1000, 0.5])), 7]
        window.WindowWidth = [float(dice.choice([0.5, 1, 1.5, 100, 4000])), 9]
        if dice.integers(2):
            window.VOILUTFunction = str(dice.choice(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
    if dice.integers(2):
        return {element.keyword: element.value for part in (rescaling, window) for element in part}
    groups = Dataset()
    groups.PixelValueTransformationSequence = [rescaling]
    groups.FrameVOILUTSequence = [window]
    kind = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")[dice.integers(2)]
    return {"NumberOfFrames": 1, kind: [groups]}


def test_random_headers_give_the_same_picture():
    outcomes = [outcome(random_file(np.random.default_rng([7, seed]))) for seed in range(150)]
    assert {one.kind for one in outcomes} == {"equal"}


def test_a_wrong_picture_is_noticed():
    data = dicom_bytes(np.arange(64, dtype=np.uint8).reshape(8, 8))
    found = decoded(data)
    assert compared(found, data).kind == "equal"
    assert compared(255 - found, data) == Outcome("wrong", "255.00", True)
    assert compared(found[1:], data).kind == "wrong"
