"""Looks of microscopy: H&E colon tissue, stained blood cells, fluorescent kidney cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medlabel.phantoms.acquisition import blur, expose, photograph
from medlabel.phantoms.parts import Floats, Sheet, colour, dye, lay, mixture, step

__all__ = ["blood", "path", "tissue"]


# --- H&E: haematoxylin turns nuclei blue-purple, eosin turns the rest pink ----------------------


def _stained(sheet: Sheet, haematoxylin: Floats, eosin: Floats) -> Floats:
    """White light through two dyes, amounts 0 to about 1.5: [n,size,size,3]."""
    light = colour(sheet, (0.9, 1.0), (0.88, 0.98), (0.9, 1.0)) + np.zeros(
        (*haematoxylin.shape, 1), np.float32
    )
    purple = colour(sheet, (0.5, 1.1), (0.75, 1.4), (0.2, 0.7))
    pink = colour(sheet, (0.02, 0.3), (0.4, 1.1), (0.12, 0.75))
    return dye(dye(light, purple, np.clip(haematoxylin, 0, 2)), pink, np.clip(eosin, 0, 2))


def _nuclei(sheet: Sheet, count: int, radius: tuple[float, float]) -> Floats:
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


def _fibres(sheet: Sheet, fine: tuple[float, float]) -> Floats:
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


def path(sheet: Sheet) -> Floats:
    """A patch of colon tissue, stained with H&E, of any of nine kinds."""
    kinds = (
        _adipose, _background, _debris, _lymphocytes, _mucus, _muscle, _mucosa, _stroma, _tumour,
    )  # fmt: skip
    return photograph(sheet, mixture(sheet, kinds), (0.8, 1.1), (0.7, 1.5), (0.05, 0.7), 0.12)


# --- Blood smear ---------------------------------------------------------------------------------


def _red_cells(sheet: Sheet, image: Floats) -> Floats:
    """Red cells around the middle: pale pink-brown discs with paler centres."""
    at = sheet.plane()
    tint = colour(sheet, (0.68, 0.9), (0.5, 0.72), (0.5, 0.72))
    for _ in range(9):
        turn, far = sheet.between(0, 2 * np.pi), sheet.between(0.6, 1.35)
        place = far * np.cos(turn), far * np.sin(turn)
        radius = sheet.between(0.2, 0.36)
        wide = (radius, radius * sheet.between(0.8, 1.1))
        disc = sheet.ellipse(at, place, wide, 0.09) * sheet.chance(0.75)
        pale = sheet.ellipse(at, place, (radius * 0.45, radius * 0.45), 0.12) * sheet.between(
            0, 0.8
        )
        image = lay(image, tint, disc * (1 - pale) * sheet.between(0.5, 1))
    return image


def _neighbour(sheet: Sheet, image: Floats) -> Floats:
    """Now and then a second white cell or a piece of one, at the edge of the field."""
    at = sheet.pose(0, (0.9, 1.1), 3.14, bend=0.04)
    far, radius = sheet.between(0.75, 1.25), sheet.between(0.2, 0.6)
    seen = sheet.chance(0.3)
    body = sheet.ellipse(at, (far, 0.0), (radius, radius), 0.1, ragged=0.15) * seen
    image = lay(image, colour(sheet, (0.5, 0.85), (0.4, 0.65), (0.6, 0.85)), body)
    inside = radius * sheet.between(0.5, 1)
    nucleus = sheet.ellipse(at, (far, 0.05), (inside, inside), 0.1, ragged=0.15) * seen
    return lay(image, colour(sheet, (0.22, 0.55), (0.1, 0.32), (0.4, 0.65)), nucleus)


def _cell(
    nucleus: Callable[[Sheet, tuple[Floats, Floats], Floats], Floats],
    size: tuple[float, float], fluid: tuple[tuple[float, float], ...], granules: float,
) -> Callable[[Sheet], Floats]:  # fmt: skip
    """A drawer of one kind of cell: its nucleus, radius, colour of its fluid, its granules."""

    def draw(sheet: Sheet) -> Floats:
        glass = colour(sheet, (0.86, 1.0), (0.78, 0.97), (0.68, 0.95))
        image = _red_cells(
            sheet, glass + np.zeros((sheet.n, sheet.size, sheet.size, 1), np.float32)
        )
        image = _neighbour(sheet, image)
        at = sheet.pose(0.12, (0.9, 1.2), 3.14, bend=0.04)
        radius = sheet.between(*size)
        body = sheet.ellipse(
            at,
            (0, 0),
            (radius, radius * sheet.between(0.85, 1.1)),
            0.09,
            ragged=sheet.between(0, 0.2),
        )
        image = lay(image, colour(sheet, *fluid), body * sheet.between(0.8, 1))
        grit = np.clip(sheet.field(13), 0, 2) * body * granules * sheet.between(0.3, 1)
        purple = colour(sheet, (0.22, 0.55), (0.1, 0.32), (0.4, 0.65))
        image = lay(image, purple, np.clip(grit, 0, 0.9))
        inside = nucleus(sheet, at, radius) * body
        chromatin = purple * (1 + 0.12 * sheet.field(9)[..., None])
        return lay(image, chromatin, inside * sheet.between(0.8, 1))

    return draw


def _round_nucleus(sheet: Sheet, at: tuple[Floats, Floats], radius: Floats) -> Floats:
    """One round nucleus that nearly fills the cell."""
    wide = radius * sheet.between(0.65, 1.0)
    place = radius * sheet.between(-0.15, 0.15), radius * sheet.between(-0.15, 0.15)
    return sheet.ellipse(at, place, (wide, wide * sheet.between(0.8, 1)), 0.1, ragged=0.06)


def _bent_nucleus(sheet: Sheet, at: tuple[Floats, Floats], radius: Floats) -> Floats:
    """A kidney-shaped nucleus: round, with a bite out of one side."""
    whole = _round_nucleus(sheet, at, radius)
    place = radius * sheet.between(0.4, 0.8), radius * sheet.between(-0.3, 0.3)
    return whole * (1 - sheet.ellipse(at, place, (radius * 0.5, radius * 0.35), 0.15))


def _lobed_nucleus(sheet: Sheet, at: tuple[Floats, Floats], radius: Floats) -> Floats:
    """Two to five lobes on an arc."""
    lobes = np.zeros_like(at[0])
    for lobe in range(4):
        angle = 1.25 * lobe + sheet.between(-0.4, 0.4)
        place = 0.45 * radius * np.cos(angle), 0.45 * radius * np.sin(angle)
        wide = radius * sheet.between(0.25, 0.42)
        piece = sheet.ellipse(at, place, (wide, wide * sheet.between(0.8, 1.3)), 0.1)
        lobes = np.maximum(lobes, piece * (sheet.chance(0.75) if lobe > 1 else 1))
    return lobes


def _platelet(sheet: Sheet, at: tuple[Floats, Floats], radius: Floats) -> Floats:
    """No nucleus; a purple heart of granules."""
    return sheet.ellipse(at, (0, 0), (radius * 0.6, radius * 0.6), 0.2) * sheet.between(0, 0.7)


_PALE = (0.7, 0.9), (0.55, 0.78), (0.68, 0.88)
_ORANGE = (0.75, 0.92), (0.42, 0.6), (0.48, 0.66)
_BLUE = (0.5, 0.78), (0.5, 0.72), (0.72, 0.9)
_LILAC = (0.55, 0.8), (0.38, 0.65), (0.6, 0.8)


def blood(sheet: Sheet) -> Floats:
    """One white cell or platelet in the middle of a stained smear, red cells around it."""
    kinds = (
        _cell(_round_nucleus, (0.4, 0.55), _LILAC, 0.9),
        _cell(_lobed_nucleus, (0.45, 0.6), _ORANGE, 0.2),
        _cell(_round_nucleus, (0.28, 0.45), _BLUE, 0.05),
        _cell(_bent_nucleus, (0.45, 0.8), _LILAC, 0.5),
        _cell(_round_nucleus, (0.32, 0.5), _BLUE, 0.05),
        _cell(_bent_nucleus, (0.5, 0.75), _BLUE, 0.2),
        _cell(_lobed_nucleus, (0.42, 0.6), _PALE, 0.2),
        _cell(_platelet, (0.1, 0.26), _LILAC, 0.6),
    )
    return photograph(sheet, mixture(sheet, kinds), (0.85, 1.1), (0.7, 1.5), (0.05, 0.6))


# --- Fluorescence --------------------------------------------------------------------------------


def tissue(sheet: Sheet) -> Floats:
    """One fluorescent kidney cell, brightest over seven slices, among dimmer neighbours."""
    at = sheet.pose(0.12, (0.8, 1.2), 3.14, bend=0.05)
    neighbours = sheet.spots(7, (0.12, 0.4), (0.2, 1.0), 1.3) * sheet.between(0, 0.45)
    neighbours = neighbours * sheet.chance(0.75)
    radii = sheet.between(0.2, 0.8), sheet.between(0.2, 0.7)
    soft = sheet.between(0.15, 0.6)
    cell = sheet.ellipse(at, (0, 0), radii, soft, ragged=sheet.between(0, 0.3))
    hollow = sheet.ellipse(at, (0, 0), (radii[0] * 0.6, radii[1] * 0.6), 0.3)
    cell = cell * (1 - hollow * sheet.between(0, 0.7) * sheet.chance(0.3))
    mottle = np.clip(1 + sheet.between(0, 0.35) * sheet.field(6), 0.2, 2)
    glow = cell * mottle * sheet.between(0.2, 1) + neighbours * np.clip(
        1 + 0.3 * sheet.field(8), 0, 2
    )
    image = sheet.between(0, 0.12) + glow * np.exp(sheet.between(np.log(0.08), np.log(1.0)))
    image = blur(sheet, image, (0.1, 1.2))
    image = image * (1 + sheet.grain(sheet.between(0, 0.3)))
    return expose(sheet, image, (0.7, 1.3), (-0.02, 0.05), (0.7, 1.4), (0.1, 0.5), 0.06)
