"""Simulate image acquisition: optics, exposure, noise, collimation.

Every function takes and returns brightness from 0 to 1, [n,size,size] or [n,size,size,3], and
samples its strength for each image. `expose` and `photograph` are the whole chain for grey and
colour images. No step inverts an image: black stays darker than white.
"""

from __future__ import annotations

import numpy as np

from medlabel.phantoms.parts import Canvas, Floats, Range, paint, random_colour, soft_step

__all__ = ["blur", "collimate", "expose", "photograph", "shade", "tone_curve"]


def _per_pixel(numbers: Floats, image: Floats) -> Floats:
    """Reshape [n,1,1] to broadcast with a grey or colour image."""
    return numbers if image.ndim == 3 else numbers[..., None]


def blur(canvas: Canvas, image: Floats, width: Range) -> Floats:
    """Apply a Gaussian blur; its width, in 1/28 of the side, is sampled per image from a range."""
    place = np.arange(canvas.size, dtype=np.float32) * (28 / canvas.size)
    wide = np.maximum(canvas.uniform(*width), 0.05)
    mixing = np.exp(-(((place[:, None] - place[None]) / wide) ** 2) / 2)
    mixing /= mixing.sum(2, keepdims=True)
    if image.ndim == 3:
        return mixing @ image @ mixing.transpose(0, 2, 1)
    planes = image.transpose(0, 3, 1, 2)
    planes = mixing[:, None] @ planes @ mixing[:, None].transpose(0, 1, 3, 2)
    return planes.transpose(0, 2, 3, 1)


def tone_curve(canvas: Canvas, image: Floats, gain: Range, offset: Range, gamma: Range) -> Floats:
    """Apply gain, offset and gamma of the detector and the display."""
    bent = np.clip(image, 1e-4, 1) ** _per_pixel(np.exp(canvas.uniform(*np.log(gamma))), image)
    lifted = bent * _per_pixel(canvas.uniform(*gain), image)
    return lifted + _per_pixel(canvas.uniform(*offset), image)


def shade(canvas: Canvas, image: Floats, strength: float) -> Floats:
    """Multiply with a slowly varying field of light."""
    slow = np.exp(canvas.noise(1) * canvas.uniform(0, strength))
    return image * _per_pixel(slow, image)


def collimate(canvas: Canvas, image: Floats, probability: float, depth: float = 0.2) -> Floats:
    """Add dark bars at the edges, as from collimation or padding."""
    x, y = canvas.coordinates()
    for side in (x, -x, y, -y):
        edge = 1 - canvas.uniform(0.02, depth) + canvas.uniform(-0.06, 0.06) * (x + y)
        bar = soft_step(side - edge, 0.08) * canvas.bernoulli(probability)
        image = paint(image, _per_pixel(canvas.uniform(0, 0.12), image), bar)
    return image


def expose(
    canvas: Canvas, image: Floats, gain: Range = (0.75, 1.15), offset: Range = (-0.08, 0.12),
    gamma: Range = (0.6, 1.6), soft: Range = (0.1, 0.8), noise: float = 0.05,
) -> Floats:  # fmt: skip
    """Apply the grey chain: uneven field, blur, exposure, noise: [n,size,size]."""
    image = shade(canvas, blur(canvas, image, soft), 0.15)
    image = tone_curve(canvas, image, gain, offset, gamma)
    return image + canvas.pixel_noise(noise * canvas.uniform(0, 1) ** 2)


def photograph(
    canvas: Canvas, image: Floats, gain: Range = (0.8, 1.15), gamma: Range = (0.7, 1.4),
    soft: Range = (0.1, 0.8), cast: float = 0.08, noise: float = 0.02,
) -> Floats:  # fmt: skip
    """Apply the colour chain: uneven light, blur, exposure, white balance, saturation, noise."""
    image = shade(canvas, blur(canvas, image, soft), 0.12)
    image = tone_curve(canvas, image, gain, (-0.04, 0.06), gamma)
    image = image * random_colour(canvas, *[(1 - cast, 1 + cast)] * 3)
    grey = image.mean(-1, keepdims=True)
    image = grey + (image - grey) * _per_pixel(canvas.uniform(0.7, 1.25), image)
    strength = noise * canvas.uniform(0, 1) ** 2
    return image + np.stack([canvas.pixel_noise(strength) for _ in range(3)], -1)
