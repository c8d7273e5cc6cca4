"""Types of requests and responses, from which the OpenAPI description is generated."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from medlabel.student.decision import AUTO_ABOVE
from medlabel.student.provenance import NOTICES
from serving.verdicts import EXAMPLE, FullVerdict, StudentFacts

__all__ = [
    "Annotation",
    "Answer",
    "Correction",
    "Corrections",
    "ErrorResponse",
    "Health",
    "Model",
    "Models",
    "RefusedFile",
    "ServeArgs",
    "StoredCorrection",
]

_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_Share = Annotated[float, Field(ge=0, le=1)]


class ServeArgs(BaseModel):
    """Settings of the application, on the command line or under `args:` in a Serve YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundles: list[str] = Field(
        min_length=1,
        description="Folders or buckets of bundles or of runs; the first is the default student.",
    )
    auto_above: _Share = Field(
        default=AUTO_ABOVE, description="Labels of a lower probability are for review."
    )
    max_batch_size: int = Field(default=256, ge=1, le=4096, description="Maximum files per batch.")
    max_images: int = Field(
        default=1024, ge=1, le=100_000, description="Maximum images per request."
    )
    max_body_mib: float = Field(default=64, gt=0, le=4096, description="Maximum MiB per request.")
    max_sending_s: float = Field(
        default=60, gt=0, description="Seconds in which a request must have been sent; else 408."
    )
    max_held_mib: float = Field(
        default=512, gt=0, description="MiB of requests in a replica's memory at once; else 503."
    )
    max_ongoing: int = Field(
        default=128, ge=1, description="Maximum concurrent requests per replica."
    )
    max_queued: int = Field(default=512, ge=1, description="Maximum waiting requests; else 503.")
    min_replicas: int = Field(default=1, ge=1, description="Minimum number of replicas.")
    max_replicas: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of replicas; more are started as requests queue.",
    )
    num_cpus: float = Field(default=1, gt=0, description="CPUs per replica.")
    num_gpus: float = Field(
        default=0, ge=0, description="GPUs per replica; with 0 students run on the CPU."
    )
    state: str | None = Field(
        default=None, description="Folder for corrections and the audit log, on each node."
    )
    token_file: str | None = Field(
        default=None,
        description="File with the token that clients must send. Default: MEDLABEL_TOKEN.",
    )
    label_studio_url: str | None = Field(
        default=None, description="URL of the only Label Studio whose images are read."
    )
    label_studio_token_file: str | None = Field(
        default=None, description="File with its token. Default: LABEL_STUDIO_API_KEY."
    )


class Annotation(BaseModel):
    """The label of one image, and whether a person should review it."""

    file: str = Field(description="Name that the client gave the file; may be empty.")
    index: int = Field(description="Index within the file; 0 unless the file is a stack.")
    sha256: str = Field(description="SHA-256 of the file that was received, in hexadecimal.")
    label: str = Field(description="The most probable class.")
    confidence: float = Field(description="Probability of the label, 0 to 1.")
    probabilities: dict[str, float] = Field(description="One per class; they sum to 1.")
    decision: Literal["auto", "review"] = Field(
        description="Whether the label can be accepted, or a person should review it."
    )
    review_reasons: list[
        Literal["low_confidence", "out_of_distribution", "uncalibrated", "guessing", "doubtful"]
    ] = Field(
        description="Why a person should review it: its confidence is below `auto_above`; its "
        "out-of-distribution score is above 1; the student is not calibrated; the verdict on its "
        "labels is that its teacher was guessing; that verdict is doubtful, and supports only "
        "labels of a higher confidence."
    )
    ood_score: float | None = Field(
        description="Out-of-distribution score: above 1 the image differs from the training data "
        "more than 99 % of it does. null if the student is not calibrated."
    )
    bundle: str = Field(description="Id of the student.")
    thumbnail: str | None = Field(
        default=None, description="A small PNG as a data: URL, if requested."
    )
    own_range: bool = Field(
        default=False,
        description="Whether the image has more than 8 bits and no window: it was scaled from its "
        "own lowest to its own highest value, and cannot be compared with others by brightness.",
    )


class RefusedFile(BaseModel):
    """A file that could not be labelled, and why. It does not affect the other files."""

    file: str
    sha256: str
    status: int = Field(description="The HTTP status of a request with this file alone.")
    error: str = Field(description="The reason, in one line.")


class Answer(StudentFacts):
    """The results of a request's files, in their order, and what their labels are worth."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "request_id": "6f1d0c1e-8c3b-4a0e-9d2f-1a2b3c4d5e6f",
                "results": [
                    {
                        "file": "a.png",
                        "index": 0,
                        "sha256": _HASH,
                        "label": "chest",
                        "confidence": 0.97,
                        "probabilities": {"chest": 0.97, "breast": 0.03},
                        "decision": "review",
                        "review_reasons": ["guessing"],
                        "ood_score": 0.41,
                        "bundle": "5f3a9c-seed-0007",
                    },
                    {"file": "b.txt", "sha256": _HASH, "status": 415, "error": "not a PNG, ..."},
                ],
                "verdict": dict(EXAMPLE),
                "learned_from": "drawn",
                "notice": NOTICES["drawn"],
            }
        }
    )

    request_id: str
    results: list[Annotation | RefusedFile]


class Model(StudentFacts):
    """A student that is served."""

    verdict: FullVerdict | None = Field(
        description="Whether its labels can be believed, and why; null if that was not examined."
    )
    id: str
    classes: list[str]
    size: int = Field(description="Side in pixels of its input images.")
    channels: int = Field(description="1 for greyscale, 3 for colour.")
    architecture: str
    calibrated: bool = Field(
        description="Whether it is calibrated; if not, every label is for review."
    )
    default: bool = Field(description="Whether it is the default.")
    preprocessing: int = Field(
        description="Version of the pixels that it learned from; others are not served."
    )
    warnings: list[str] = Field(
        description="Warnings of its run; in a student without a verdict each counts as `guessing`."
    )


class Models(BaseModel):
    """The students that are served."""

    models: list[Model]


class Health(BaseModel):
    """The service is running, with this default student."""

    status: Literal["ok"] = "ok"
    bundle: str
    classes: list[str]


class ErrorResponse(BaseModel):
    """Why a request failed."""

    detail: str
    results: list[RefusedFile] = Field(default=[], description="The error of each file.")


class Correction(BaseModel):
    """A person's label for one image: the student's label accepted, or another class."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", examples=[_HASH])
    index: int = Field(default=0, ge=0, le=2**31)
    file: str = Field(default="", max_length=255)
    bundle: str = Field(max_length=200)
    predicted: str = Field(max_length=200, description="The student's label.")
    confidence: _Share
    label: str = Field(max_length=200, description="The person's label.")
    who: str = Field(default="", max_length=100, description="The person's name, as given.")


class StoredCorrection(Correction):
    """A correction with its id, its time, and the classes to choose from."""

    sha256: str = Field(
        pattern=r"^([0-9a-f]{64})?$",
        description="Empty if Label Studio did not provide the image; `file` is its URL there.",
    )
    classes: list[str]
    id: int
    at: str = Field(description="Time in UTC, ISO 8601.")


class Corrections(BaseModel):
    """The latest correction of each image."""

    corrections: list[StoredCorrection]
