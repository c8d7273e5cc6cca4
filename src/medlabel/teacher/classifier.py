"""The teacher as an object: a CLIP that classifies images by the names of the classes, zero-shot.

It needs no Ray. The jobs score by the same functions.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TaskID

from medlabel.data.class_names import refuse_alike
from medlabel.data.decoding import ImageError
from medlabel.data.framing import Framing
from medlabel.data.images import ImagesLike, as_images
from medlabel.errors import InvalidArgumentError
from medlabel.storage.home import default_home
from medlabel.storage.progress import OnProgress
from medlabel.teacher.caption_sets import check_caption_sets
from medlabel.teacher.clip import Clip, base_name, check_clip, load_clip
from medlabel.teacher.digest_catalogue import framed
from medlabel.teacher.names.caption_faults import caption_faults, warn_of
from medlabel.teacher.phantom_clip import is_phantom
from medlabel.teacher.phantom_store import local_name
from medlabel.teacher.task_captions import (
    caption_lines,
    captions_by_names,
    unknown_captions,
    unlearned_captions,
)
from medlabel.teacher.zero_shot import class_embeddings, score

__all__ = ["Teacher"]

_ADVICE = "pass your own: captions={'NAME': ['a caption', …], …}"
_LOG = logging.getLogger("medlabel.teacher")
_BATCH = {"cpu": 64, "cuda": 256}
Image = NDArray[np.uint8]


class Teacher:
    """A CLIP that gives each image a probability per class, by captions of the classes.

    It classifies zero-shot, without being trained on the images to classify or on labels of them,
    so many of its answers may be wrong. A `Student` is trained on these answers.

    Args:
        clip: a loaded model; `Teacher.from_pretrained` loads one by its name.
        name: its name in tables and bundles, by default the model's own name.

    Attributes:
        clip: the model, its tokenizer and its preprocessing.
        name: see above.

    References:
        Radford et al. (2021), "Learning transferable visual models from natural language
        supervision", section 3.1.

    Examples:
        >>> import medlabel as ml
        >>> teacher = ml.Teacher.from_pretrained("phantom")
        >>> images = ml.load_images("phantom:bloodmnist", split="test")
        >>> proba = teacher.predict_proba(images[:3], ["blood", "breast"])
        >>> proba.shape, list(proba.columns)
        ((3, 2), ['blood', 'breast'])
    """

    def __init__(self, clip: Clip, name: str | None = None) -> None:
        self.clip, self.name = clip, name or clip.name

    @classmethod
    def from_pretrained(
        cls,
        name: str = "phantom",
        *,
        device: str | None = None,
        precision: str = "fp32",
        home: Path | str | None = None,
    ) -> Teacher:
        """Load a CLIP by its name; a progress bar is shown while a phantom CLIP is trained.

        | name | model |
        | --- | --- |
        | `"phantom"` | medlabel's own small CLIP, trained on drawn images |
        | `"phantom-1"`, `"phantom-2"`, … | other seeds; from 3 on trained once, in six minutes |
        | `"ViT-L/14"`, `"RN50"`, … | OpenAI's eight models, downloaded once |
        | `"ViT-B-16:laion2b_s34b_b88k"` | an open_clip architecture and the tag of its weights |
        | `"hf-hub:OWNER/NAME"` | a model on the Hugging Face hub |
        | a path | an open_clip folder, or a checkpoint in OpenAI's format |

        `"+views"` after a name embeds five shifted copies of each image and averages them.

        Args:
            name: one of the above.
            device: torch device, such as `"cuda"`; by default a GPU if there is one.
            precision: of the image encoder: `"fp32"`, `"fp16"` or `"bf16"`.
            home: folder of trained phantom CLIPs, by default `MEDLABEL_HOME` or
                `~/.cache/medlabel`; the jobs use the same.

        Raises:
            MedlabelError: there is no such model, it cannot be downloaded, or it is damaged.
        """
        check_clip(name, precision)
        with _progress_bars() as advance:
            local = local_name(name, default_home() if home is None else home, advance)
        clip = load_clip(local, device, precision)
        warn_of(clip.remarks)
        return cls(clip, name)

    def embed(self, images: ImagesLike) -> NDArray[np.float16]:
        """Embed images.

        Args:
            images: `Images`, or arrays: uint8 [N, H, W] or [N, H, W, 3], or a list of them.

        Returns:
            float16 [N, D], each row of length one. A row does not depend on the other images.

        Raises:
            ValueError: there are no images, or an image is more than 32 times as long as it is
                wide (or the reverse).
        """
        found = as_images(images)
        if not len(found):
            raise InvalidArgumentError("there are no images to embed")
        framing = self.clip.framing
        named = zip(found, found.ids, strict=True)
        squares = [_framed(image, name, framing) for image, name in named]
        kinds = np.array([f"{len(square)} {square.ndim}" for square in squares])
        parts: dict[int, NDArray[np.float16]] = {}
        for kind in dict.fromkeys(kinds.tolist()):
            rows = np.flatnonzero(kinds == kind)
            stack = np.stack([squares[row] for row in rows])
            batch = _BATCH.get(self.clip.device.partition(":")[0], 64)
            embedded = self.clip.embed_images(stack, batch).astype(np.float16)
            parts |= dict(zip(rows.tolist(), embedded, strict=True))
        return np.stack([parts[row] for row in range(len(squares))])

    def predict_proba(
        self,
        images: ImagesLike,
        classes: Sequence[str],
        *,
        captions: str | Mapping[str, Sequence[str]] = "table",
    ) -> pd.DataFrame:
        """The probability of each class for each image: softmax(scale * cosine) with its captions.

        Args:
            images: `Images`, or arrays: uint8 [N, H, W] or [N, H, W, 3], or a list of them.
            classes: K names, two or more. Names of MedMNIST's sets and classes, and common names
                such as `chest`, `brain` or `CT` have captions; any other name is put into a
                template, with a warning. `"NAME=MEANING"` spells out what a name stands for
                (`medlabel.teacher.names.meanings`). `read_captions` shows what is read.
            captions: `"table"`, `"paper"`, `"templates"`, `"descriptions"`, the path of a YAML
                file, or several of these joined by commas; or the captions themselves, as a dict
                of lists by class name. If a class has several captions, their embeddings are
                averaged.

        Returns:
            A data frame, float32 [N, K]: one column per class, one row per image with its id as the
            index; rows sum to one. Pass it to `Student.fit`; `to_numpy()` gives the array alone.

        Warns:
            UserWarning: see `read_captions`.

        Raises:
            ValueError: fewer than two classes, two that mean the same, an ambiguous name, or no
                captions for a class.
            MedlabelError: there is no such caption set.

        Examples:
            >>> proba = teacher.predict_proba(
            ...     images[:2],
            ...     ["cell", "film"],
            ...     captions={"cell": ["a stained blood cell"], "film": ["a chest X-ray"]},
            ... )
            >>> proba.sum(axis=1).round(3).tolist()
            [1.0, 1.0]
        """
        named = self.read_captions(classes, captions=captions)
        texts = list(named.values())
        _LOG.info("the teacher reads %s", "; ".join(caption_lines(named)))
        found = as_images(images)
        means = class_embeddings(texts, self.clip.embed_texts)
        scores = score(self.embed(found), means, self.clip.logit_scale)
        frame = pd.DataFrame(scores, index=pd.Index(found.ids, name="image_id"), columns=[*named])
        facts = {"name": self.name, "model": self.clip.key, "captions": texts, "adjust": []}
        frame.attrs["teacher"] = facts  # a student's bundle records where its labels come from
        return frame

    def read_captions(
        self, classes: Sequence[str], *, captions: str | Mapping[str, Sequence[str]] = "table"
    ) -> dict[str, tuple[str, ...]]:
        """The captions that the teacher reads for each class, by its name: look before you score.

        Args:
            classes: as in `predict_proba`.
            captions: as in `predict_proba`.

        Warns:
            UserWarning: no captions are known for a class, or a phantom teacher has not learned
                the words of its captions.
            TeacherWarning: a caption is longer than the model reads, its tokenizer hardly knows the
                words, or the captions of two classes are nearly the same to it.

        Raises:
            ValueError: as `predict_proba`.

        Examples:
            >>> teacher.read_captions(["pneumonia", "normal"])["normal"][0]
            'a chest X-ray of a healthy adult, no finding'
        """
        found = _captions(list(classes), captions)
        if is_phantom(base_name(self.name)):
            for text in unlearned_captions(found):
                warnings.warn(text, stacklevel=2)
        means = class_embeddings(list(found.values()), self.clip.embed_texts)
        warn_of([each.sentence for each in caption_faults(found, self.clip.tokenizer, means)])
        return found

    def __repr__(self) -> str:
        return f"Teacher({self.name!r}, device={self.clip.device!r})"


def _captions(
    classes: Sequence[str], captions: str | Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """The captions of each class; a warning for each name without any of its own."""
    if len(set(classes)) < 2 or len(set(classes)) < len(classes) or "" in classes:
        raise InvalidArgumentError(f"name two classes or more, each once: {list(classes)}")
    refuse_alike(classes)
    if not isinstance(captions, str):
        missing = [name for name in classes if not captions.get(name)]
        if missing or any(isinstance(captions[name], str) for name in classes):
            what = f"for {missing[0]!r}" if missing else "as lists"
            raise InvalidArgumentError(f"no captions {what}: {_ADVICE}")
        return {name: tuple(captions[name]) for name in classes}
    check_caption_sets(captions)
    found = captions_by_names(classes, captions)
    if captions == "table":
        for text in unknown_captions(found, _ADVICE):
            warnings.warn(text, stacklevel=3)
    return found


def _framed(image: Image, name: str, framing: Framing) -> Image:
    try:
        return framed(image, framing)
    except ImageError as error:
        raise InvalidArgumentError(f"image {name}: {error.reason}") from error


@contextmanager
def _progress_bars() -> Iterator[OnProgress]:
    """Bars on the standard error, from the first call on."""
    console, bars = Console(stderr=True), dict[str, TaskID]()
    progress = Progress(console=console, transient=console.is_interactive)

    def advance(stage: str, done: int, total: int) -> None:
        if not bars:
            progress.start()
        if stage not in bars:
            bars[stage] = progress.add_task(f"{stage} the phantom teacher", total=total)
        progress.update(bars[stage], completed=done)

    try:
        yield advance
    finally:
        if bars:
            progress.stop()
