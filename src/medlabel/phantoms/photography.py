"""Looks taken with light from outside: dermatoscopy, fundus photography, retinal OCT."""

from __future__ import annotations

import numpy as np

from medlabel.phantoms.acquisition import expose, photograph
from medlabel.phantoms.parts import Coordinates, Floats, Sheet, colour, lay, step

__all__ = ["derma", "oct_scan", "retina"]


# --- Dermatoscopy --------------------------------------------------------------------------------


def _lesion(sheet: Sheet, image: Floats, at: Coordinates) -> Floats:
    """A mole, melanoma, keratosis or angioma: brown, black, red or pink, ragged, in two tones."""
    radii = sheet.between(0.15, 0.9), sheet.between(0.2, 0.95)
    centre = sheet.between(-0.2, 0.2), sheet.between(-0.2, 0.2)
    soft = sheet.between(0.1, 0.6)
    mole = sheet.ellipse(at, centre, radii, soft, sheet.between(0, 3), sheet.between(0.05, 0.4), 4)
    brown = colour(sheet, (0.25, 0.7), (0.5, 0.75), (0.4, 0.75))
    brown[..., 1] *= brown[..., 0]
    brown[..., 2] *= brown[..., 1]
    red = colour(sheet, (0.5, 0.85), (0.15, 0.5), (0.2, 0.5))
    tint = np.where(sheet.chance(0.2)[..., None] > 0, red, brown)
    depth = sheet.between(0.25, 1.0) * np.clip(1 + sheet.between(0, 0.3) * sheet.field(6), 0, 1.3)
    image = lay(image, tint, np.clip(mole * depth, 0, 1))
    dark = step(sheet.field(4) - sheet.between(0, 1.5), 0.8) * mole * sheet.chance(0.5)
    image = lay(image, tint * 0.5, dark * sheet.between(0.2, 0.8))
    pale = step(sheet.field(4) - sheet.between(0.6, 2), 0.6) * mole * sheet.chance(0.25)
    return lay(image, colour(sheet, (0.8, 0.95), (0.65, 0.85), (0.65, 0.9)), pale * 0.6)


def derma(sheet: Sheet) -> Floats:
    """A pigmented lesion on pink or tan skin, through a dermatoscope; hairs, dark corners."""
    at = sheet.pose(0.15, (0.8, 1.2), 0.3, bend=0.05)
    skin = colour(sheet, (0.65, 1.0), (0.6, 0.85), (0.85, 1.2))
    skin[..., 1] *= skin[..., 0]
    skin[..., 2] *= skin[..., 1]
    mottle = 1 + 0.03 * sheet.field(9)[..., None] + 0.04 * sheet.field(3)[..., None]
    image = _lesion(sheet, skin * mottle, at)
    for _ in range(4):
        x, y = sheet.pose(0.8, (0.8, 1.2), 3.14, bend=0.06)
        hair = step(0.015 - np.abs(y), 0.06) * step(0.9 - np.abs(x), 0.2) * sheet.chance(0.2)
        image = lay(image, 0.25 * image, hair * sheet.between(0.3, 0.9))
    x, y = sheet.plane()
    tube = step(np.hypot(x, y * sheet.between(0.75, 1)) - sheet.between(0.95, 1.35), 0.15)
    image = lay(image, sheet.between(0, 0.2)[..., None], tube * sheet.chance(0.25))
    glare = np.clip(sheet.spots(2, (0.04, 0.12)), 0, 1) * sheet.chance(0.15)
    return photograph(sheet, lay(image, 1.0, glare), (0.8, 1.2), (0.7, 1.5), (0.1, 0.9), 0.12)


# --- Fundus photography --------------------------------------------------------------------------


def _vessels(sheet: Sheet, at: Coordinates, disc: Coordinates) -> Floats:
    """Arteries and veins that arch away from the optic disc, above and below, 0 to 1."""
    tree = np.zeros_like(at[0])
    for side in (-1, 1):
        towards = (side * at[0], at[1])
        root = (side * disc[0], disc[1])
        for bow in (-1.0, -0.5, 0.5, 1.0):
            lean = np.float32(bow) * sheet.between(0.5, 1.2)
            tree = np.maximum(tree, sheet.curve(towards, root, lean, sheet.between(-0.01, 0.03)))
    return tree


def retina(sheet: Sheet) -> Floats:
    """The back of the eye: an orange disc in the dark, bright optic nerve head, vessels, macula."""
    at = sheet.pose(0.05, (0.95, 1.2), 0.2, bend=0.02)
    x, y = at
    far = np.hypot(x, y)
    fundus = colour(sheet, (0.35, 0.95), (0.35, 0.72), (0.15, 0.75))
    fundus[..., 1] *= fundus[..., 0]
    fundus[..., 2] *= fundus[..., 1]
    slope = 1 + 0.2 * sheet.normal() * x + 0.2 * sheet.normal() * y - sheet.between(0, 0.5) * far**2
    image = fundus * (slope * (1 + 0.06 * sheet.field(5)))[..., None]
    side = np.sign(sheet.normal())
    disc = side * sheet.between(0.2, 0.7), sheet.between(-0.2, 0.2)
    macula = sheet.ellipse(at, (disc[0] - side * 0.6, disc[1] + 0.05), (0.25, 0.25), 0.4)
    image = lay(image, image * 0.55, macula * sheet.between(0.2, 1))
    tree = _vessels(sheet, at, disc)
    image = lay(image, image * (0.65, 0.5, 0.55), tree * sheet.between(0.2, 0.9))
    head = sheet.ellipse(at, disc, (sheet.between(0.11, 0.2), sheet.between(0.13, 0.22)), 0.1)
    glow = colour(sheet, (0.9, 1.1), (0.7, 1.0), (0.35, 0.8))
    image = lay(image, glow, head * sheet.between(0.3, 1) * sheet.chance(0.93))
    exudates = step(sheet.spots(8, (0.02, 0.06), within=0.7) - 0.4, 0.5) * sheet.chance(0.3)
    image = lay(image, glow * 0.9, exudates * sheet.between(0.2, 0.8))
    bleeds = step(sheet.spots(6, (0.03, 0.1), within=0.7) - 0.5, 0.5) * sheet.chance(0.3)
    image = lay(image, image * 0.4, bleeds * sheet.between(0.3, 1))
    dark = colour(sheet, (0, 0.08), (0, 0.06), (0, 0.06))
    edge = step(sheet.between(0.85, 1.25) - far, 0.06)
    edge = edge * step(sheet.between(0.8, 1.4) - np.abs(y), 0.06)
    image = lay(dark + 0 * image, image, edge)
    return photograph(sheet, image, (0.7, 1.2), (0.6, 1.6), (0.1, 0.9), noise=0.03)


# --- Retinal OCT ---------------------------------------------------------------------------------


def _band(
    depth: Floats, centre: Floats | float, half: Floats | float, soft: float = 0.08
) -> Floats:
    """A layer of this half-thickness around a depth, 0 to 1."""
    return step(half - np.abs(depth - centre), soft)


def oct_scan(sheet: Sheet) -> Floats:
    """A retinal OCT B-scan: bright layers across the dark, a dip at the fovea, fluid or drusen."""
    x, y = sheet.pose(0.2, (0.85, 1.25), 0.2, bend=0.02)
    thick = sheet.between(0.25, 0.6)
    floor = sheet.between(-0.15, 0.4) + sheet.between(-0.15, 0.25) * x * x
    drusen = np.clip(sheet.field(7, 1), 0, 2) * sheet.between(0.02, 0.12) * sheet.chance(0.4)
    fovea: Floats = np.exp(-(((x - sheet.between(-0.5, 0.5)) / sheet.between(0.15, 0.4)) ** 2))
    swollen = sheet.between(0.1, 0.5) * sheet.chance(0.35)
    top = floor - thick * (1 - fovea * sheet.between(0, 0.6) + fovea * swollen * 2)
    floor = floor - drusen - fovea * sheet.between(0, 0.35) * sheet.chance(0.25)
    inside = step(y - top, 0.07) * step(floor - y, 0.07)
    share = np.clip((y - top) / np.maximum(floor - top, 0.05), -1, 2)
    layers = 0.65 - sheet.between(0.1, 0.4) * _band(share, sheet.between(0.55, 0.75), 0.12, 0.2)
    layers = layers + sheet.between(0, 0.35) * _band(share, 0.05, 0.1, 0.2)
    haze = sheet.between(0, 0.5) ** 2
    image: Floats = haze + inside * layers * sheet.between(0.5, 1)
    line = _band(y, floor + 0.02, sheet.between(0.02, 0.08), 0.08)
    image = lay(image, sheet.between(0.7, 1.0), line * sheet.between(0.5, 1))
    choroid: Floats = step(y - floor - 0.06, 0.08) * np.exp(
        -np.maximum(y - floor, 0) / sheet.between(0.08, 0.4)
    )
    image = image + choroid * sheet.between(0.1, 0.7) * np.clip(1 + 0.3 * sheet.field(9), 0, 2)
    fluid = step(sheet.field(6) - sheet.between(0.6, 1.6), 0.4) * inside * sheet.chance(0.35)
    image = lay(image, 0.08, fluid * sheet.between(0.5, 1))
    image = image * np.clip(1 + sheet.grain(sheet.between(0, 0.25)), 0, 3)
    image = expose(sheet, image, (0.5, 1.15), (-0.06, 0.1), (0.65, 1.7), (0.1, 1.0), 0.06)
    u, v = sheet.plane()
    turn = sheet.between(0, 2 * np.pi)
    corner = step(u * np.cos(turn) + v * np.sin(turn) - sheet.between(0.8, 1.3), 0.06)
    return lay(image, 1.0, corner * sheet.chance(0.12))
