"""Verdicts made by hand, for tests."""

from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from medlabel.student.verdict import AccuracyEstimate, Evidence, Example, Verdict


def _png():
    buffer = BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(buffer, "PNG")
    return b64encode(buffer.getvalue()).decode()


READ = Verdict(
    "read",
    "The teacher recognises these images.",
    (Evidence("seeds", "read", "Three teachers agree on 98 of 100 images.", 0.98),),
    estimate=AccuracyEstimate(0.968, 0.931, 0.991),
)
DOUBTFUL = Verdict(
    "doubtful",
    "The labels depend on how a class is worded.",
    tuple(
        Evidence(f"signal_{n}", "doubtful", f"Piece {n} of the evidence.", n / 10)
        for n in range(1, 8)
    ),
    ("Write captions: `--captions own.yaml`.",),
    AccuracyEstimate(0.84, 0.71, 0.92),
    auto_above=0.973,
)
GUESSING = Verdict(
    "guessing",
    "The teacher has never learned the word <hand>.",
    (
        Evidence("unknown_words", "guessing", "The teacher never learned it.", 1.0, "hand"),
        Evidence("neighbours", "read", "Like images get like labels."),
    ),
    ("Choose another teacher.", "Answer twenty images."),
    no_estimate_because="the teachers contradict each other",
    examples=(
        Example("a/1.png", "hand", "Three teachers give three labels.", _png()),
        Example("a/2.png", "foot", "Unlike all that it knows."),
    ),
)
