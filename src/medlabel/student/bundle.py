"""A trained student as a folder: `config.json`, `model.safetensors`, a model card, provenance.

`calibration.safetensors` is there too, unless the bundle is older than calibration.

Nothing in a bundle is code or pickle. It loads with `load_bundle("runs/demo/bundle")`.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from medlabel.data.framing import CentreSquare
from medlabel.errors import MedlabelError
from medlabel.storage.digests import hex_digest
from medlabel.storage.store import Store
from medlabel.student.calibration import Calibration, FeatureReader
from medlabel.student.decision import Assessment
from medlabel.student.networks import Student, parameter_count, without_pretrained_weights

__all__ = [
    "CALIBRATION_FILE",
    "Bundle",
    "find_bundle",
    "load_bundle",
    "record_warnings",
    "save_bundle",
]

_FILES = ("config.json", "model.safetensors")
_IN_RUN = "bundle"
_PROVENANCE = "provenance.json"
CALIBRATION_FILE = "calibration.safetensors"


@dataclass(frozen=True)
class Bundle:
    """A student ready to label images, and where it comes from."""

    id: str
    student: Student
    provenance: Mapping[str, Any]
    calibration: Calibration | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return tuple(self.student.classes)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.student.size

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its run warned of: with any, no label of it is taken unseen."""
        return tuple(str(line) for line in self.provenance.get("warnings", ()))

    @property
    def square(self) -> CentreSquare:
        """How an image uint8 [H, W] or [H, W, 3] becomes what the student learned on."""
        return CentreSquare(self.size, self.student.channels)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities float32 [N, K] of prepared images uint8 [N, S, S] or [N, S, S, 3].

        They are calibrated if the bundle is.
        """
        return self.assess(images).probabilities

    def assess(self, images: NDArray[np.uint8]) -> Assessment:
        """Probabilities of prepared images, and how far they are from what was learned."""
        probabilities, features = self._reader(images)
        if self.calibration is None:
            unknown = np.full(len(images), np.nan, dtype=np.float32)
            return Assessment(probabilities, unknown, False, not self.warnings)
        return Assessment(
            self.calibration.apply_temperature(probabilities),
            self.calibration.ood_score(features),
            calibrated=True,
            decidable=not self.warnings,
        )

    @cached_property
    def _reader(self) -> FeatureReader:
        return FeatureReader(self.student)


def save_bundle(
    store: Store,
    student: Student,
    provenance: Mapping[str, Any],
    calibration: Calibration | None = None,
) -> None:
    """Write a bundle into a folder; `provenance` says what it was made of and with."""
    with tempfile.TemporaryDirectory() as folder:
        student.save_pretrained(folder)
        for name in (*_FILES, "README.md"):
            data = (Path(folder) / name).read_bytes()
            store.write(name, data if name != "README.md" else _model_card(student, provenance))
        digest = hex_digest((Path(folder) / "model.safetensors").read_bytes())
    facts: dict[str, Any] = {"sha256": digest, "parameters": parameter_count(student)}
    if calibration is not None:
        data = _serialise(calibration)
        store.write(CALIBRATION_FILE, data)
        facts["calibration_sha256"] = hex_digest(data)
    store.write_json(_PROVENANCE, {**provenance, **facts})


def record_warnings(store: Store, warnings: Sequence[str]) -> None:
    """Write into a bundle what its run warns of."""
    store.write_json(_PROVENANCE, {**store.read_json(_PROVENANCE), "warnings": list(warnings)})


def find_bundle(uri: str) -> str:
    """The bundle's own folder, given it or the folder of a finished run, which holds it."""
    store = Store(uri)
    return store.path(_IN_RUN) if store.exists(f"{_IN_RUN}/config.json") else store.uri


def load_bundle(uri: str) -> Bundle:
    """Read a bundle's folder; `MedlabelError` where it is none or is damaged."""
    store = Store(uri)
    if not store.exists("config.json"):
        raise MedlabelError(f"{uri} is no bundle: it has no config.json")
    provenance = store.read_json(_PROVENANCE)
    if not isinstance(provenance, dict):
        raise MedlabelError(f"{uri} is a damaged bundle: {_PROVENANCE} is no JSON object")
    weights = store.read("model.safetensors")
    if hex_digest(weights) != provenance.get("sha256"):
        raise MedlabelError(f"{uri} is a damaged bundle: its weights are not its own")
    try:
        with without_pretrained_weights():  # the weights are in the bundle: nothing is downloaded
            student = Student(**store.read_json("config.json"))
        student.load_state_dict(safetensors.torch.load(weights))
    except (SafetensorError, RuntimeError, TypeError, AttributeError) as error:
        raise MedlabelError(f"{uri} is a damaged bundle: {error}".splitlines()[0]) from error
    name = str(provenance.get("bundle_id", "unknown"))
    return Bundle(name, student.eval(), provenance, _calibration(store, provenance))


def _serialise(calibration: Calibration) -> bytes:
    tensors = {
        name: torch.as_tensor(np.asarray(value, dtype=np.float32))
        for name, value in vars(calibration).items()
    }
    return bytes(safetensors.torch.save(tensors))


def _calibration(store: Store, provenance: Mapping[str, Any]) -> Calibration | None:
    """A bundle's calibration; None of an older one."""
    digest = provenance.get("calibration_sha256")
    if digest is None:
        return None
    data = store.read(CALIBRATION_FILE)
    if hex_digest(data) != digest:
        raise MedlabelError(f"{store.uri} is a damaged bundle: its calibration is not its own")
    values = {name: np.asarray(value) for name, value in safetensors.torch.load(data).items()}
    return Calibration(
        float(values["temperature"]),
        values["centres"],
        values["whitening"],
        float(values["limit"]),
    )


def _model_card(student: Student, provenance: Mapping[str, Any]) -> bytes:
    """A short model card in the hub's format."""
    facts = json.dumps(dict(provenance), indent=2, sort_keys=True)
    answers = sum(provenance.get("human_labels", {}).get("answers", {}).values())
    people = f"and on {answers:,} answers of people." if answers else "no human label was used."
    joint = " " if answers else ": "
    return f"""---
library_name: medlabel
license: apache-2.0
tags: [medical-imaging, image-classification, pseudo-labels]
---
# {" / ".join(student.classes)}

A `{student.architecture}` CNN ({student.channels} channel(s), {student.size}x{student.size} pixels)
trained by medlabel on pseudo-labels of a zero-shot teacher{joint}{people}
Not for clinical use. Load it with `medlabel.student.bundle.load_bundle(FOLDER)`.

```json
{facts}
```
""".encode()
