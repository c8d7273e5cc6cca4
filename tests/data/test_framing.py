import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)
from medlabel.data.framing import Framing, chroma_of

from open_clip.transform import PreprocessCfg, image_transform_v2  # isort: skip


@pytest.mark.parametrize("shape", [(40, 60), (90, 35, 3), (28, 28), (300, 200, 3)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_framing_is_open_clips_own_geometry(shape, mode):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    config = PreprocessCfg(size=32, mean=(0,) * 3, std=(1,) * 3, resize_mode=mode)
    by_hand = image_transform_v2(config, is_train=False)(Image.fromarray(image))
    framed = Framing(32, mode, "bicubic")(image)
    assert framed.shape == (32, 32, *shape[2:])
    stack = framed if framed.ndim == 3 else np.repeat(framed[..., None], 3, axis=2)
    np.testing.assert_allclose(stack.transpose(2, 0, 1) / 255, by_hand, atol=1e-6)


def test_readers_of_files_need_not_import_torch():
    program = "import rayjobs.image_reading, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_chroma_is_measured_in_the_centre_square():
    image = np.full((64, 200, 3), 80, np.uint8)
    image[:, :60, 0] = 255  # the left margin is cut off
    assert chroma_of(image) == 0
    image[:, 68:100, 1] = 131  # left half of the square: one channel is 51 brighter
    assert chroma_of(image) == pytest.approx(0.5 * 51 / 255)


@pytest.mark.parametrize("shape", [(5, 5), (1, 9), (700, 900)])
def test_a_grey_image_has_no_chroma(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert chroma_of(grey) == 0
    assert chroma_of(np.repeat(grey[..., None], 3, axis=2)) == 0
