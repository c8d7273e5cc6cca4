"""Colon tissue, stained with haematoxylin and eosin: nine kinds, from bare glass to carcinoma."""

from __future__ import annotations

import numpy as np

from medlabel.phantoms.acquisition import photograph
from medlabel.phantoms.looks import Kind, Look
from medlabel.phantoms.parts import Floats, Range, Sheet, colour, dye, step

__all__ = ["PATH"]

# --- H&E: haematoxylin turns nuclei blue-purple, eosin turns the rest pink ----------------------


def _stained(sheet: Sheet, haematoxylin: Floats, eosin: Floats) -> Floats:
    """White light through two dyes, amounts 0 to about 1.5: [n,size,size,3]."""
    light = colour(sheet, (0.9, 1.0), (0.88, 0.98), (0.9, 1.0)) + np.zeros(
        (*haematoxylin.shape, 1), np.float32
    )
    purple = colour(sheet, (0.5, 1.1), (0.75, 1.4), (0.2, 0.7))
    pink = colour(sheet, (0.02, 0.3), (0.4, 1.1), (0.12, 0.75))
    return dye(dye(light, purple, np.clip(haematoxylin, 0, 2)), pink, np.clip(eosin, 0, 2))


def _nuclei(sheet: Sheet, count: int, radius: Range) -> Floats:
    """Nuclei strewn about, 0 to 1."""
    return step(sheet.spots(count, radius, (0.7, 1.2)) - 0.45, sheet.between(0.4, 0.9))


def _adipose(sheet: Sheet) -> Floats:
    """Fat: big empty cells with thin pink walls."""
    wall = sheet.walls(12, sheet.pose(0.1, (0.6, 1.6), 1.5, bend=0.05))
    thick = step(sheet.between(0.03, 0.14) - wall, 0.12) + 0.3 * step(sheet.field(3) - 1.3, 0.8)
    return _stained(sheet, thick * sheet.between(0, 0.4), thick * sheet.between(0.3, 1))


def _background(sheet: Sheet) -> Floats:
    """Bare glass: nearly even, nearly white."""
    dust = 0.04 * np.clip(sheet.field(7), 0, 3) + sheet.between(0, 0.12)
    return _stained(sheet, dust * sheet.chance(0.5), dust * sheet.between(0, 1))


def _debris(sheet: Sheet) -> Floats:
    """Dead tissue: pink grit with broken nuclei and pale holes."""
    grit = 0.5 + 0.25 * sheet.field(14) + 0.2 * sheet.field(5)
    holes = step(sheet.field(5) - sheet.between(0.6, 1.6), 0.8)
    eosin = grit * sheet.between(0.5, 1.1) * (1 - 0.8 * holes)
    return _stained(sheet, _nuclei(sheet, 14, (0.03, 0.09)) * sheet.between(0.1, 0.7), eosin)


def _lymphocytes(sheet: Sheet) -> Floats:
    """Packed small round dark nuclei."""
    nuclei = _nuclei(sheet, 110, (0.03, 0.08)) * sheet.between(0.6, 1.2)
    return _stained(sheet, nuclei + sheet.between(0.05, 0.3), sheet.between(0.1, 0.6) + 0 * nuclei)


def _mucus(sheet: Sheet) -> Floats:
    """Pale lilac threads and pools, few cells."""
    threads = np.abs(sheet.field(4, 8)) * 0.3 + 0.1 * sheet.field(3)
    few = _nuclei(sheet, 3, (0.04, 0.08)) * sheet.chance(0.5) * 0.5
    return _stained(sheet, threads * sheet.between(0.1, 0.6) + few, threads * sheet.between(0.2, 1))


def _fibres(sheet: Sheet, fine: Range) -> Floats:
    """Wavy parallel strands in some direction, -1 to 1."""
    x, y = sheet.pose(0, (0.8, 1.2), 3.14, bend=0.12)
    return np.sin(sheet.between(*fine) * y + sheet.field(3) + 0.5 * x)


def _muscle(sheet: Sheet) -> Floats:
    """Smooth muscle: strong pink bundles, sparse long nuclei."""
    strands = 0.12 * _fibres(sheet, (8, 18)) + 0.1 * sheet.field(9) + 0.06 * sheet.field(3)
    nuclei = step(_fibres(sheet, (12, 20)) + sheet.field(10) - 2.0, 0.6)
    return _stained(
        sheet,
        nuclei * sheet.between(0.1, 0.6) + sheet.between(0, 0.25),
        strands + sheet.between(0.5, 1.3),
    )


def _stroma(sheet: Sheet) -> Floats:
    """Stroma around a tumour: pink waves, pale gaps, scattered nuclei."""
    strands = 0.2 * _fibres(sheet, (6, 16)) + 0.15 * sheet.field(6)
    nuclei = _nuclei(sheet, 12, (0.04, 0.09)) * sheet.between(0.2, 0.9)
    return _stained(sheet, nuclei + sheet.between(0, 0.2), strands + sheet.between(0.25, 0.9))


def _mucosa(sheet: Sheet) -> Floats:
    """Normal glands: rings of purple nuclei around pale centres, in pink."""
    wall = sheet.walls(6, sheet.pose(0.2, (0.7, 1.6), 1.5, bend=0.04))
    ring = step(0.22 - np.abs(wall - sheet.between(0.25, 0.45)), 0.2) * (
        0.8 + 0.25 * sheet.field(14)
    )
    hollow = step(wall - sheet.between(0.4, 0.7), 0.25)
    between_glands = sheet.between(0.2, 0.8) + 0.1 * sheet.field(10)
    nuclei = _nuclei(sheet, 16, (0.04, 0.07)) * 0.5 * (1 - hollow)
    return _stained(
        sheet, ring * sheet.between(0.3, 1.0) + nuclei,
        between_glands * (1 - hollow * sheet.between(0.3, 0.9)),
    )  # fmt: skip


def _tumour(sheet: Sheet) -> Floats:
    """Cancer: crowded purple glands of no order, with ragged pale holes."""
    crowd = step(sheet.field(4) + sheet.between(-0.4, 1.2), 0.8)
    holes = step(sheet.field(4) - sheet.between(0.8, 2), 0.4)
    nuclei = (0.6 + 0.25 * sheet.field(14)) * crowd * sheet.between(0.4, 1.1)
    return _stained(sheet, nuclei * (1 - holes), sheet.between(0.2, 0.8) * (1 - 0.8 * holes))


def _finish(sheet: Sheet, image: Floats) -> Floats:
    return photograph(sheet, image, (0.8, 1.1), (0.7, 1.5), (0.05, 0.7), 0.12)


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
