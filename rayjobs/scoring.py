"""Embed images by a teacher, and score them by captions. `run`, `sweep` and `label` share this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.data.sources import Source
from medlabel.data.tasks import source_image
from medlabel.storage.home import home_store
from medlabel.storage.progress import OnProgress
from medlabel.teacher.adjust import Adjustment
from medlabel.teacher.clip import Clip, base_name, load_clip
from medlabel.teacher.embeddings import EmbeddingTable, embed_captions
from medlabel.teacher.names.caption_faults import CaptionFault, caption_faults, warn_of
from medlabel.teacher.phantom_clip import is_phantom
from medlabel.teacher.zero_shot import class_embeddings, score
from rayjobs.cluster import connect
from rayjobs.embed import embed_sampled
from rayjobs.pretrain import local_name

__all__ = [
    "TeacherScores",
    "combine_teachers",
    "embed_classes",
    "embed_ids",
    "image_table",
    "load_teacher",
    "score_by_captions",
    "start_ray",
]


@dataclass(frozen=True)
class TeacherScores:
    """A teacher's scores of N images, and where they come from.

    Attributes:
        scores: raw scores, float32 [N, K], or [T, N, K] of T teachers.
        embeddings: the teacher's, [N, D]; None if the teacher is a file of scores.
        name: the teacher, as the user typed it.
        facts: the model's key and captions, or the digest of the file, as plain JSON.
        encoded: number of images that were encoded now.
        faults: what the teachers cannot read of the captions.
    """

    scores: NDArray[np.float32]
    embeddings: NDArray[np.floating] | None
    name: str
    facts: Mapping[str, Any]
    encoded: int = 0
    faults: tuple[CaptionFault, ...] = ()

    def facts_with(self, adjustment: Adjustment) -> dict[str, Any]:
        """All that decides what a student learns from this teacher, as plain JSON."""
        vote = [f"vote={adjustment.vote}"] if self.scores.ndim == 3 else []
        steps = [str(step) for step in adjustment.steps]
        return {"name": self.name, **self.facts, "adjust": vote + steps}


def start_ray(on_progress: OnProgress) -> None:
    """Start or join Ray, and report it as a stage, because it takes some seconds."""
    on_progress("starting", 0, 1)
    connect()
    on_progress("starting", 1, 1)


def load_teacher(name: str, home: Path, on_progress: OnProgress) -> Clip:
    """A CLIP by name, with a warning of what had to be assumed to load it.

    The phantom CLIP is trained first if `home` does not have it.
    """
    if is_phantom(base_name(name)):
        start_ray(on_progress)
    clip = load_clip(local_name(name, home, on_progress), "cpu")
    warn_of(clip.remarks)
    return clip


def image_table(clip: Clip, home: Path) -> EmbeddingTable:
    """The table in `home` of a model's embeddings of images."""
    return EmbeddingTable(home_store(home, "embeddings"), clip.key)


def embed_ids(
    clip: Clip,
    home: Path,
    sources: Mapping[str, Source],
    ids: Sequence[str],
    on_progress: OnProgress,
) -> tuple[NDArray[np.float16], int]:
    """Embeddings float16 [N, D] of images by id, and how many of them were encoded now."""
    start_ray(on_progress)
    images = {image_id: source_image(sources, image_id) for image_id in ids}
    return embed_sampled(clip, images, image_table(clip, home), partial(on_progress, "embedding"))


def embed_classes(
    clip: Clip, home: Path, captions: Mapping[str, Sequence[str]]
) -> tuple[NDArray[np.float32], tuple[CaptionFault, ...]]:
    """Embed the captions of K classes, and warn of what the teacher cannot read of them.

    Returns:
        float32 [K, D], and the faults. `home` keeps the embeddings of captions.
    """
    texts = EmbeddingTable(home_store(home, "captions"), clip.key)
    embed = partial(embed_captions, texts, embed=clip.embed_texts)
    embeddings = class_embeddings(list(captions.values()), embed)
    faults = tuple(caption_faults(captions, clip.tokenizer, embeddings))
    warn_of([fault.sentence for fault in faults])
    return embeddings, faults


def score_by_captions(
    clip: Clip,
    home: Path,
    name: str,
    captions: Mapping[str, Sequence[str]],
    embeddings: NDArray[np.floating],
    encoded: int = 0,
) -> TeacherScores:
    """Score embedded images [N, D] by the captions of each class."""
    classes, faults = embed_classes(clip, home, captions)
    scores = score(embeddings, classes, clip.logit_scale)
    facts = {"model": clip.key, "captions": list(captions.values())}
    return TeacherScores(scores, embeddings, name, facts, encoded, faults)


def combine_teachers(teachers: Sequence[TeacherScores]) -> TeacherScores:
    """Several teachers as one: scores [T, N, K], embeddings whose cosine is the mean of theirs."""
    if len(teachers) == 1:
        return teachers[0]
    found = [teacher.embeddings for teacher in teachers if teacher.embeddings is not None]
    return TeacherScores(
        np.stack([teacher.scores for teacher in teachers]),
        np.concatenate([np.float32(matrix) for matrix in found], axis=1) / np.sqrt(len(found)),
        " & ".join(teacher.name for teacher in teachers),
        {
            "model": " & ".join(str(teacher.facts["model"]) for teacher in teachers),
            "captions": teachers[0].facts["captions"],
        },
        sum(teacher.encoded for teacher in teachers),
        tuple(dict.fromkeys(fault for teacher in teachers for fault in teacher.faults)),
    )
