"""Ask teachers: embed what they have not seen yet, and score it. Runs and sweeps share this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.data.sources import Source
from medlabel.data.tasks import source_image
from medlabel.storage.progress import OnProgress
from medlabel.storage.store import Store
from medlabel.teacher.adjust import Adjustment
from medlabel.teacher.clip import Clip, base_name, load_clip
from medlabel.teacher.embeddings import EmbeddingTable, embed_captions
from medlabel.teacher.phantom_clip import is_phantom
from medlabel.teacher.zero_shot import class_embeddings, score
from rayjobs.cluster import connect
from rayjobs.embed import embed_sampled
from rayjobs.pretrain import local_name

__all__ = [
    "TeacherScores",
    "ask",
    "embed_ids",
    "image_table",
    "load_teacher",
    "start_ray",
    "together",
]


@dataclass(frozen=True)
class TeacherScores:
    """Raw scores float32 [N, K] of N images ([T, N, K] of several teachers) and their origin.

    Attributes:
        embeddings: the teacher's, [N, D]; None where the teacher is a file of scores.
        name: as the user typed it.
        facts: the model's key and captions, or the file's digest.
        encoded: images that had to be encoded for it.
    """

    scores: NDArray[np.float32]
    embeddings: NDArray[np.floating] | None
    name: str
    facts: Mapping[str, Any]
    encoded: int = 0

    def facts_with(self, adjustment: Adjustment) -> dict[str, Any]:
        """All that decides what is learned from this teacher, as plain JSON."""
        vote = [f"vote={adjustment.vote}"] if self.scores.ndim == 3 else []
        steps = [str(step) for step in adjustment.steps]
        return {"name": self.name, **self.facts, "adjust": vote + steps}


def start_ray(on_progress: OnProgress) -> None:
    """Start or join Ray; said aloud, for it takes some seconds."""
    on_progress("starting", 0, 1)
    connect()
    on_progress("starting", 1, 1)


def load_teacher(name: str, home: Path, on_progress: OnProgress) -> Clip:
    """A CLIP by name; the phantom one is trained first where it is not kept in `home`."""
    if is_phantom(base_name(name)):
        start_ray(on_progress)
    return load_clip(local_name(name, home, on_progress), "cpu")


def image_table(clip: Clip, home: Path) -> EmbeddingTable:
    """Where `home` keeps a model's embeddings of images."""
    return EmbeddingTable(Store(str(home / "embeddings")), clip.key)


def embed_ids(
    clip: Clip,
    home: Path,
    sources: Mapping[str, Source],
    ids: Sequence[str],
    on_progress: OnProgress,
) -> tuple[NDArray[np.float16], int]:
    """Embeddings float16 [N, D] of images by id, and how many had to be encoded for it."""
    start_ray(on_progress)
    drawn = {image_id: source_image(sources, image_id) for image_id in ids}
    return embed_sampled(clip, drawn, image_table(clip, home), partial(on_progress, "embedding"))


def ask(
    clip: Clip,
    home: Path,
    name: str,
    captions: Sequence[Sequence[str]],
    embeddings: NDArray[np.floating],
    encoded: int = 0,
) -> TeacherScores:
    """One CLIP's scores of embedded images [N, D]; captions are embedded once and kept."""
    texts = EmbeddingTable(Store(str(home / "captions")), clip.key)
    classes = class_embeddings(captions, partial(embed_captions, texts, embed=clip.embed_texts))
    scores = score(embeddings, classes, clip.logit_scale)
    return TeacherScores(
        scores, embeddings, name, {"model": clip.key, "captions": captions}, encoded
    )


def together(asked: Sequence[TeacherScores]) -> TeacherScores:
    """Several teachers as one: scores [T, N, K], embeddings whose cosine is the mean of theirs."""
    if len(asked) == 1:
        return asked[0]
    seen = [one.embeddings for one in asked if one.embeddings is not None]
    return TeacherScores(
        np.stack([one.scores for one in asked]),
        np.concatenate([np.float32(matrix) for matrix in seen], axis=1) / np.sqrt(len(seen)),
        " & ".join(one.name for one in asked),
        {
            "model": " & ".join(str(one.facts["model"]) for one in asked),
            "captions": asked[0].facts["captions"],
        },
        sum(one.encoded for one in asked),
    )
