"""Save and load a trained student as a folder, the bundle.

| file | content |
| --- | --- |
| `config.json`, `model.safetensors` | the network, as `PyTorchModelHubMixin` saves it |
| `calibration.safetensors` | its calibration; missing in bundles from before calibration |
| `provenance.json` | what it was trained on and with, digests, the verdict on its labels |
| `README.md` | a model card |

A bundle contains neither code nor pickles. Load it with `load_bundle("runs/demo/bundle")`.

`code_versions` in `provenance.json` says which version of pixels the student learned from
(`medlabel.versions.PREPROCESSING`; see `docs/pixels.md`). A student that learned from another one
is refused: it would be shown pictures that are turned or windowed otherwise than in its training.
"""

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
from medlabel.storage.strict_json import to_json
from medlabel.student.calibration import Calibration, FeatureReader
from medlabel.student.decision import Assessment
from medlabel.student.networks import Student, parameter_count, without_pretrained_weights
from medlabel.student.outsiders import OutsiderDetector
from medlabel.student.provenance import LearnedFrom, read_learned_from
from medlabel.student.verdict import Verdict, verdict_of
from medlabel.versions import PREPROCESSING

__all__ = [
    "CALIBRATION_FILE",
    "Bundle",
    "check_pixels",
    "find_bundle",
    "load_bundle",
    "pixels_version",
    "publish_bundle",
    "read_provenance",
    "save_bundle",
]

_FILES = ("config.json", "model.safetensors")
_IN_RUN = "bundle"
_PROVENANCE = "provenance.json"
CALIBRATION_FILE = "calibration.safetensors"
_OUTSIDERS = "outsiders"


@dataclass(frozen=True)
class Bundle:
    """A trained student with its calibration and provenance.

    Attributes:
        id: identifies the bundle in annotations.
        student: the network, in evaluation mode.
        provenance: content of `provenance.json`.
        calibration: None for bundles from before calibration.
    """

    id: str
    student: Student
    provenance: Mapping[str, Any]
    calibration: Calibration | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns of probabilities."""
        return tuple(self.student.classes)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.student.size

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of its run."""
        return tuple(str(line) for line in self.provenance.get("warnings", ()))

    @cached_property
    def verdict(self) -> Verdict | None:
        """Whether its labels can be believed, and why; None if nobody has examined that."""
        return verdict_of(self.provenance)

    @property
    def learned_from(self) -> LearnedFrom | None:
        """Whether it learned from drawn images; None if that is unknown."""
        return read_learned_from(self.provenance)

    @property
    def square(self) -> CentreSquare:
        """The preprocessing that turns uint8 [H, W] or [H, W, 3] into the student's input."""
        return CentreSquare(self.size, self.student.channels)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities float32 [N, K], calibrated if the bundle has a calibration.

        Args:
            images: preprocessed images, uint8 [N, S, S] or [N, S, S, 3].
        """
        return self.assess(images).probabilities

    def assess(
        self, images: NDArray[np.uint8], chroma: NDArray[np.float32] | None = None
    ) -> Assessment:
        """Return probabilities and out-of-distribution scores of preprocessed images.

        Args:
            images: uint8 [N, S, S] or [N, S, S, 3].
            chroma: how far the images were from grey (`medlabel.data.framing.chroma_of`), float32
                [N]; without it a student of grey images cannot tell that an image had colours.
        """
        probabilities, features = self._reader(images)
        ood_score = np.full(len(images), np.nan, dtype=np.float32)
        if self.calibration is not None:
            probabilities = self.calibration.apply_temperature(probabilities)
            ood_score = self.calibration.ood_score(
                features, images, chroma, str(next(self.student.parameters()).device)
            )
        return Assessment(
            probabilities,
            ood_score,
            calibrated=self.calibration is not None,
            guessing=self.verdict is not None and self.verdict.level == "guessing",
            doubtful_below=0.0 if self.verdict is None else self.verdict.doubtful_below,
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
    """Write a bundle.

    Args:
        store: the folder.
        student: the trained network.
        provenance: facts for `provenance.json`; digests and the parameter count are added, and the
            version of pixels if they lack it. A student in memory is of the present one: others
            cannot be loaded.
        calibration: None if the student cannot be calibrated.
    """
    provenance = {"code_versions": {"preprocessing": PREPROCESSING}, **provenance}
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


def publish_bundle(
    store: Store, to: Store, warnings: Sequence[str] = (), verdict: Verdict | None = None
) -> None:
    """Copy a bundle, and add the findings of its run to the provenance of the copy.

    `config.json` is copied last: without it a folder is not a bundle. So a bundle never lacks its
    verdict, even if the copying was interrupted.

    Args:
        store: the folder of the bundle.
        to: the folder to copy it to.
        warnings: of the run.
        verdict: on the labels; whoever receives the bundle can see its examples.
    """
    facts = {**store.read_json(_PROVENANCE), "warnings": list(warnings)}
    if verdict is not None:
        facts["verdict"] = verdict.to_json()
    for name in sorted(store.list("*"), key=lambda name: name == "config.json"):
        if name == _PROVENANCE:
            to.write_json(name, facts)
        else:
            to.write(name, store.read(name))


def find_bundle(uri: str) -> str:
    """The folder of a bundle, given it or the folder of a finished run; `uri` if there is none."""
    store = Store(uri)
    in_run = not store.exists("config.json") and store.exists(f"{_IN_RUN}/config.json")
    return store.path(_IN_RUN) if in_run else store.uri


def read_provenance(uri: str) -> dict[str, Any]:
    """Read what a bundle says about itself, of whatever version it is; no weights are loaded.

    Raises:
        MedlabelError: the folder is not a bundle, or the file is damaged.
    """
    store = Store(uri)
    if not store.exists("config.json"):
        raise MedlabelError(f"{uri} is not a bundle: it has no config.json")
    provenance = store.read_json(_PROVENANCE)
    if not isinstance(provenance, dict):
        raise MedlabelError(f"{uri} is a damaged bundle: {_PROVENANCE} is not a JSON object")
    return provenance


def pixels_version(provenance: Mapping[str, Any]) -> int | None:
    """The version of pixels that a student learned from; None if its provenance does not say.

    >>> pixels_version({"code_versions": {"preprocessing": 1}})
    1
    """
    numbers = provenance.get("code_versions")
    number = numbers.get("preprocessing") if isinstance(numbers, Mapping) else None
    return number if isinstance(number, int) else None


def check_pixels(uri: str, provenance: Mapping[str, Any]) -> int:
    """Return the version of pixels that a student learned from, which has to be the present one.

    That holds for students of arrays as well: nothing says that they will not be shown files.

    Args:
        uri: of the bundle.
        provenance: of the student.

    Raises:
        MedlabelError: it learned from other pixels than files give today, or does not say.
    """
    number = pixels_version(provenance)
    if number == PREPROCESSING:
        return number
    learned = "does not say from which version of pixels its student learned"
    if number is not None:
        learned = f"holds a student that learned from version {number} of pixels"
    raise MedlabelError(
        f"{uri} {learned}, and this medlabel reads files into version {PREPROCESSING} "
        "(docs/pixels.md), where images may be turned or windowed otherwise: train it again, with "
        "the same command and another --out"
    )


def load_bundle(uri: str) -> Bundle:
    """Load a bundle from its folder.

    Raises:
        MedlabelError: the folder is not a bundle, a file in it is damaged, or the student learned
            from another version of pixels (`check_pixels`).
    """
    store, provenance = Store(uri), read_provenance(uri)
    check_pixels(uri, provenance)
    weights = store.read("model.safetensors")
    if hex_digest(weights) != provenance.get("sha256"):
        raise MedlabelError(f"{uri} is a damaged bundle: its weights have another digest")
    try:
        with without_pretrained_weights():  # nothing is downloaded: the weights are in the bundle
            student = Student(**store.read_json("config.json"))
        student.load_state_dict(safetensors.torch.load(weights))
    except (SafetensorError, RuntimeError, TypeError, AttributeError) as error:
        raise MedlabelError(f"{uri} is a damaged bundle: {error}".splitlines()[0]) from error
    try:
        verdict_of(provenance)
    except ValueError as error:
        raise MedlabelError(f"{uri} is a damaged bundle: its verdict cannot be read") from error
    name = str(provenance.get("bundle_id", "unknown"))
    return Bundle(name, student.eval(), provenance, _calibration(store, provenance))


def _serialise(calibration: Calibration) -> bytes:
    tensors = {
        name: torch.as_tensor(np.asarray(value, dtype=np.float32))
        for name, value in vars(calibration).items()
        if name != _OUTSIDERS
    }
    if calibration.outsiders is not None:
        found = calibration.outsiders.tensors()
        tensors |= {f"{_OUTSIDERS}.{name}": value for name, value in found.items()}
    return bytes(safetensors.torch.save(tensors))


def _calibration(store: Store, provenance: Mapping[str, Any]) -> Calibration | None:
    """Read the calibration of a bundle, or None if the bundle has none."""
    digest = provenance.get("calibration_sha256")
    if digest is None:
        return None
    data = store.read(CALIBRATION_FILE)
    if hex_digest(data) != digest:
        raise MedlabelError(f"{store.uri} is a damaged bundle: its calibration has another digest")
    values = safetensors.torch.load(data)
    start = f"{_OUTSIDERS}."
    detector = {
        name.removeprefix(start): value for name, value in values.items() if name.startswith(start)
    }
    return Calibration(
        float(values["temperature"]),
        values["centres"].numpy(),
        values["whitening"].numpy(),
        float(values["limit"]),
        OutsiderDetector.from_tensors(detector) if detector else None,
    )


def _model_card(student: Student, provenance: Mapping[str, Any]) -> bytes:
    """Return a short model card in the format of the Hugging Face Hub."""
    facts = to_json(dict(provenance), indent=2, sort_keys=True)
    answers = sum(provenance.get("human_labels", {}).get("answers", {}).values())
    people = f"and on {answers:,} answers of people." if answers else "no human label was used."
    joint = " " if answers else ": "
    number = pixels_version(provenance)
    return f"""---
library_name: medlabel
license: apache-2.0
tags: [medical-imaging, image-classification, pseudo-labels]
---
# {" / ".join(student.classes)}

A `{student.architecture}` CNN ({student.channels} channel(s), {student.size}x{student.size} pixels)
trained by medlabel on pseudo-labels of a zero-shot teacher{joint}{people}
It learned from version {number} of pixels: a medlabel that reads files otherwise refuses it.
Not for clinical use. Load it with `medlabel.student.bundle.load_bundle(FOLDER)`.

```json
{facts}
```
""".encode()
