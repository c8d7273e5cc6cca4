"""Colon tissue, stained with haematoxylin and eosin: nine kinds, from bare glass to carcinoma."""

from __future__ import annotations

import numpy as np

from medlabel.phantoms.acquisition import photograph
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Canvas, Floats, Range, random_colour, soft_step, stain

__all__ = ["PATH"]

# --- H&E: haematoxylin turns nuclei blue-purple, eosin turns the rest pink ----------------------


def _stained(canvas: Canvas, haematoxylin: Floats, eosin: Floats) -> Floats:
    """White light through two dyes, amounts 0 to about 1.5: [n,size,size,3]."""
    light = random_colour(canvas, (0.9, 1.0), (0.88, 0.98), (0.9, 1.0)) + np.zeros(
        (*haematoxylin.shape, 1), np.float32
    )
    purple = random_colour(canvas, (0.5, 1.1), (0.75, 1.4), (0.2, 0.7))
    pink = random_colour(canvas, (0.02, 0.3), (0.4, 1.1), (0.12, 0.75))
    return stain(stain(light, purple, np.clip(haematoxylin, 0, 2)), pink, np.clip(eosin, 0, 2))


def _nuclei(canvas: Canvas, count: int, radius: Range) -> Floats:
    """Nuclei strewn about, 0 to 1."""
    return soft_step(canvas.spots(count, radius, (0.7, 1.2)) - 0.45, canvas.uniform(0.4, 0.9))


def _adipose(canvas: Canvas) -> Floats:
    """Fat: big empty cells with thin pink walls."""
    wall = canvas.cell_walls(12, canvas.pose(0.1, (0.6, 1.6), 1.5, bend=0.05))
    thick = soft_step(canvas.uniform(0.03, 0.14) - wall, 0.12) + 0.3 * soft_step(
        canvas.noise(3) - 1.3, 0.8
    )
    return _stained(canvas, thick * canvas.uniform(0, 0.4), thick * canvas.uniform(0.3, 1))


def _background(canvas: Canvas) -> Floats:
    """Bare glass: nearly even, nearly white."""
    dust = 0.04 * np.clip(canvas.noise(7), 0, 3) + canvas.uniform(0, 0.12)
    return _stained(canvas, dust * canvas.bernoulli(0.5), dust * canvas.uniform(0, 1))


def _debris(canvas: Canvas) -> Floats:
    """Dead tissue: pink grit with broken nuclei and pale holes."""
    grit = 0.5 + 0.25 * canvas.noise(14) + 0.2 * canvas.noise(5)
    holes = soft_step(canvas.noise(5) - canvas.uniform(0.6, 1.6), 0.8)
    eosin = grit * canvas.uniform(0.5, 1.1) * (1 - 0.8 * holes)
    return _stained(canvas, _nuclei(canvas, 14, (0.03, 0.09)) * canvas.uniform(0.1, 0.7), eosin)


def _lymphocytes(canvas: Canvas) -> Floats:
    """Packed small round dark nuclei."""
    nuclei = _nuclei(canvas, 110, (0.03, 0.08)) * canvas.uniform(0.6, 1.2)
    return _stained(
        canvas, nuclei + canvas.uniform(0.05, 0.3), canvas.uniform(0.1, 0.6) + 0 * nuclei
    )


def _mucus(canvas: Canvas) -> Floats:
    """Pale lilac threads and pools, few cells."""
    threads = np.abs(canvas.noise(4, 8)) * 0.3 + 0.1 * canvas.noise(3)
    few = _nuclei(canvas, 3, (0.04, 0.08)) * canvas.bernoulli(0.5) * 0.5
    return _stained(
        canvas, threads * canvas.uniform(0.1, 0.6) + few, threads * canvas.uniform(0.2, 1)
    )


def _fibres(canvas: Canvas, fine: Range) -> Floats:
    """Wavy parallel strands in some direction, -1 to 1."""
    x, y = canvas.pose(0, (0.8, 1.2), 3.14, bend=0.12)
    return np.sin(canvas.uniform(*fine) * y + canvas.noise(3) + 0.5 * x)


def _muscle(canvas: Canvas) -> Floats:
    """Smooth muscle: strong pink bundles, sparse long nuclei."""
    strands = 0.12 * _fibres(canvas, (8, 18)) + 0.1 * canvas.noise(9) + 0.06 * canvas.noise(3)
    nuclei = soft_step(_fibres(canvas, (12, 20)) + canvas.noise(10) - 2.0, 0.6)
    return _stained(
        canvas,
        nuclei * canvas.uniform(0.1, 0.6) + canvas.uniform(0, 0.25),
        strands + canvas.uniform(0.5, 1.3),
    )


def _stroma(canvas: Canvas) -> Floats:
    """Stroma around a tumour: pink waves, pale gaps, scattered nuclei."""
    strands = 0.2 * _fibres(canvas, (6, 16)) + 0.15 * canvas.noise(6)
    nuclei = _nuclei(canvas, 12, (0.04, 0.09)) * canvas.uniform(0.2, 0.9)
    return _stained(canvas, nuclei + canvas.uniform(0, 0.2), strands + canvas.uniform(0.25, 0.9))


def _mucosa(canvas: Canvas) -> Floats:
    """Normal glands: rings of purple nuclei around pale centres, in pink."""
    wall = canvas.cell_walls(6, canvas.pose(0.2, (0.7, 1.6), 1.5, bend=0.04))
    ring = soft_step(0.22 - np.abs(wall - canvas.uniform(0.25, 0.45)), 0.2) * (
        0.8 + 0.25 * canvas.noise(14)
    )
    hollow = soft_step(wall - canvas.uniform(0.4, 0.7), 0.25)
    between_glands = canvas.uniform(0.2, 0.8) + 0.1 * canvas.noise(10)
    nuclei = _nuclei(canvas, 16, (0.04, 0.07)) * 0.5 * (1 - hollow)
    return _stained(
        canvas, ring * canvas.uniform(0.3, 1.0) + nuclei,
        between_glands * (1 - hollow * canvas.uniform(0.3, 0.9)),
    )  # fmt: skip


def _tumour(canvas: Canvas) -> Floats:
    """Cancer: crowded purple glands of no order, with ragged pale holes."""
    crowd = soft_step(canvas.noise(4) + canvas.uniform(-0.4, 1.2), 0.8)
    holes = soft_step(canvas.noise(4) - canvas.uniform(0.8, 2), 0.4)
    nuclei = (0.6 + 0.25 * canvas.noise(14)) * crowd * canvas.uniform(0.4, 1.1)
    return _stained(canvas, nuclei * (1 - holes), canvas.uniform(0.2, 0.8) * (1 - 0.8 * holes))


def _finish(canvas: Canvas, image: Floats) -> Floats:
    return photograph(canvas, image, (0.8, 1.1), (0.7, 1.5), (0.05, 0.7), 0.12)


_KATHER = "Kather et al., PLoS Medicine 2019; Young et al., Wheater's Functional Histology"

PATH = Look(
    "pathmnist", True,
    "Colon tissue under the microscope, haematoxylin and eosin: nuclei blue-purple, fibres "
    "and cytoplasm pink, glass, fat and mucus pale; nine kinds, from glass to carcinoma.",
    (
        Kind("adipose tissue", _adipose, "big empty cells with thin pink walls", _KATHER),
        Kind("background", _background, "bare glass, nearly white and even", _KATHER),
        Kind("debris", _debris, "pink grit, broken nuclei, holes", _KATHER),
        Kind("lymphocytes", _lymphocytes, "packed small round dark nuclei", _KATHER),
        Kind("mucus", _mucus, "pale lilac threads and pools, few cells", _KATHER),
        Kind("smooth muscle", _muscle, "strong pink bundles, sparse long nuclei", _KATHER),
        Kind("normal colon mucosa", _mucosa, "round glands: nuclei in rings, pale middles",
             _KATHER),
        Kind("cancer-associated stroma", _stroma, "pink waves, pale gaps, scattered nuclei",
             _KATHER),
        Kind("colorectal adenocarcinoma epithelium", _tumour,
             "crowded purple glands of no order, ragged holes", _KATHER),
    ),
    _finish,
)  # fmt: skip
