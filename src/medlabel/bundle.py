"""A trained student as a folder: `config.json`, `model.safetensors`, a model card, provenance.

Nothing in a bundle is code or pickle. It loads with `load_bundle("runs/demo/bundle")`.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError

from medlabel.confidence import Judgement
from medlabel.errors import MedlabelError
from medlabel.fit import predict
from medlabel.store import Store
from medlabel.students import Student, blank, parameter_count

__all__ = ["CALIBRATION", "Bundle", "load_bundle", "save_bundle"]

_FILES = ("config.json", "model.safetensors")
_PROVENANCE = "provenance.json"
CALIBRATION = "calibration.safetensors"


@dataclass(frozen=True)
class Bundle:
    """A student ready to label images, and where it comes from."""

    id: str
    student: Student
    provenance: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return tuple(self.student.classes)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.student.size

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """One image of any size and mode as the uint8 [S, S] or [S, S, 3] the student learned on.

        Like MedMNIST's own: the centre square, resized bicubically.
        """
        mode = "L" if self.student.channels == 1 else "RGB"
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert(mode).crop((left, top, left + side, top + side))
        if square.size != (self.size, self.size):
            square = square.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return np.array(square, dtype=np.uint8)  # a copy: Pillow's own is read-only

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities float32 [N, K] of prepared images uint8 [N, S, S] or [N, S, S, 3]."""
        return predict(self.student, images)

    def judge(self, images: NDArray[np.uint8]) -> Judgement:
        """Probabilities of prepared images, and how far they are from what was learned."""
        unknown = np.full(len(images), np.nan, dtype=np.float32)
        return Judgement(self.predict(images), unknown, calibrated=False)


def save_bundle(store: Store, student: Student, provenance: Mapping[str, Any]) -> None:
    """Write a bundle into a folder; `provenance` says what it was made of and with."""
    with tempfile.TemporaryDirectory() as folder:
        student.save_pretrained(folder)
        for name in (*_FILES, "README.md"):
            data = (Path(folder) / name).read_bytes()
            store.write(name, data if name != "README.md" else _card(student, provenance))
        digest = hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()
    facts = {"sha256": digest, "parameters": parameter_count(student)}
    store.write_json(_PROVENANCE, {**provenance, **facts})


def load_bundle(uri: str) -> Bundle:
    """Read a bundle's folder; `MedlabelError` where it is none or is damaged."""
    store = Store(uri)
    if not store.exists("config.json"):
        raise MedlabelError(f"{uri} is no bundle: it has no config.json")
    provenance = store.read_json(_PROVENANCE)
    if not isinstance(provenance, dict):
        raise MedlabelError(f"{uri} is a damaged bundle: {_PROVENANCE} is no JSON object")
    weights = store.read("model.safetensors")
    if hashlib.sha256(weights).hexdigest() != provenance.get("sha256"):
        raise MedlabelError(f"{uri} is a damaged bundle: its weights are not its own")
    try:
        with blank():  # the weights are in the bundle: nothing is downloaded
            student = Student(**store.read_json("config.json"))
        student.load_state_dict(safetensors.torch.load(weights))
    except (SafetensorError, RuntimeError, TypeError, AttributeError) as error:
        raise MedlabelError(f"{uri} is a damaged bundle: {error}".splitlines()[0]) from error
    return Bundle(str(provenance.get("bundle_id", "unknown")), student.eval(), provenance)


def _card(student: Student, provenance: Mapping[str, Any]) -> bytes:
    """A short model card in the hub's format."""
    facts = json.dumps(dict(provenance), indent=2, sort_keys=True)
    return f"""---
library_name: medlabel
license: apache-2.0
tags: [medical-imaging, image-classification, pseudo-labels]
---
# {" / ".join(student.classes)}

A `{student.architecture}` CNN ({student.channels} channel(s), {student.size}x{student.size} pixels)
trained by medlabel on pseudo-labels of a zero-shot teacher: no human label was used.
Not for clinical use. Load it with `medlabel.bundle.load_bundle(FOLDER)`.

```json
{facts}
```
""".encode()
