"""A look of one's own: films of a hand, whole or with a broken finger."""

from functools import partial

import numpy as np

from medlabel.phantoms import Kind, Look
from medlabel.phantoms.acquisition import expose
from medlabel.phantoms.parts import paint, soft_step


def bone(at, start, turn, length, width):
    """A bone from `start` in direction `turn`: thick at its ends, 0 to 1."""
    x, y = at[0] - start[0], at[1] - start[1]
    along, aside = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    waist = width * (0.7 + 1.2 * (along / length - 0.5) ** 2)
    return soft_step(waist - np.abs(aside), 0.04) * soft_step(
        length / 2 - np.abs(along - length / 2), 0.04
    )


def hand(broken, canvas):
    """A canvas of hands: grey flesh on black, five rays of four bones."""
    at = canvas.pose(shift=0.15, scale=(0.8, 1.1), turn=0.4)
    flesh, bones = canvas.ellipse(at, (0, 0.35), (0.5, 0.5), 0.1), np.zeros_like(at[0])
    gap = canvas.uniform(0.08, 0.2)
    for finger, tilt in enumerate((-0.7, -0.3, -0.05, 0.2, 0.45)):
        turn = np.float32(tilt - np.pi / 2) + canvas.uniform(-0.08, 0.08)
        x, y = np.float32(0.75 * tilt), np.float32(0.4)
        flesh = np.maximum(flesh, bone(at, (x, y), turn, 1.2, 0.14))
        for part, length in enumerate((0.45, 0.32, 0.22, 0.16)):
            bent = canvas.uniform(0.4, 0.8) if broken and (finger, part) == (2, 1) else 0
            bones = np.maximum(bones, bone(at, (x, y), turn + bent, length, 0.05))
            x, y = x + (length + 0.03) * np.cos(turn), y + (length + 0.03) * np.sin(turn)
    image = paint(0 * bones, canvas.uniform(0.25, 0.5), flesh)
    return paint(image, canvas.uniform(0.7, 1.0), bones * (1 - gap))


BOOK = "Greenspan & Beltran, Orthopedic Imaging: A Practical Approach"
LOOKS = [
    Look(
        "hand", False, "film of a hand: five rays of bright bones in grey flesh, on black",
        (
            Kind("whole hand", partial(hand, False), "straight bones in line", BOOK,
                 captions=("an X-ray of a healthy hand", "a normal hand radiograph")),
            Kind("broken finger", partial(hand, True), "a bone at an angle to its ray", BOOK,
                 captions=("an X-ray of a hand with a broken finger",)),
        ),
        lambda canvas, image: expose(canvas, image, noise=0.02),
        captions=("an X-ray of a hand", "a radiograph of the hand and fingers"),
    ),
]  # fmt: skip
