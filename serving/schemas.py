"""What goes in and out of the door, as types: the OpenAPI page is made from them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from medlabel.student.decision import AUTO_ABOVE

__all__ = [
    "Annotation",
    "Answer",
    "Correction",
    "Corrections",
    "Health",
    "Model",
    "Models",
    "Refusal",
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
        description="Folders or buckets of students, or of runs; the first answers unless asked.",
    )
    auto_above: _Share = Field(
        default=AUTO_ABOVE, description="Below this probability a label is for review."
    )
    max_batch_size: int = Field(default=256, ge=1, le=4096, description="Images labelled at once.")
    max_images: int = Field(default=1024, ge=1, le=100_000, description="Images a request.")
    max_body_mib: float = Field(default=64, gt=0, le=4096, description="MiB a request.")
    max_sending_s: float = Field(
        default=60, gt=0, description="Seconds in which a request has to have been sent; then 408."
    )
    max_held_mib: float = Field(
        default=512, gt=0, description="MiB of requests that a copy holds at once; then 503."
    )
    max_ongoing: int = Field(default=128, ge=1, description="Requests that a copy works on.")
    max_queued: int = Field(default=512, ge=1, description="Requests that wait; then 503.")
    min_replicas: int = Field(default=1, ge=1, description="Copies of the application.")
    max_replicas: int | None = Field(
        default=None, ge=1, description="More of them as requests queue, up to so many."
    )
    num_cpus: float = Field(default=1, gt=0, description="CPUs of each copy.")
    num_gpus: float = Field(default=0, ge=0, description="GPUs of each copy; 0: the CPU.")
    state: str | None = Field(
        default=None, description="Folder for audit lines and corrections, on each node."
    )
    token_file: str | None = Field(
        default=None, description="File with the token that clients must send; or MEDLABEL_TOKEN."
    )
    label_studio_url: str | None = Field(
        default=None, description="The only Label Studio whose images are read."
    )
    label_studio_token_file: str | None = Field(
        default=None, description="File with its token; or LABEL_STUDIO_API_KEY."
    )


class Annotation(BaseModel):
    """The label of one image, and what it is worth."""

    file: str = Field(description="Name that the client gave; empty if none.")
    index: int = Field(description="Place within its file; 0 unless the file is a stack.")
    sha256: str = Field(description="Hash of the file that was received, in hexadecimal.")
    label: str = Field(description="The most probable class.")
    confidence: float = Field(description="Its probability, 0 to 1.")
    probabilities: dict[str, float] = Field(description="One a class; they sum to 1.")
    decision: Literal["auto", "review"] = Field(
        description="Whether the label may be taken, or a person should look."
    )
    review_reasons: list[
        Literal["low_confidence", "out_of_distribution", "uncalibrated", "undecidable"]
    ] = Field(
        description="Why a person should look: the probability is low; the image is unlike the "
        "training data; the student is not calibrated; its task looks undecidable."
    )
    ood_score: float | None = Field(
        description="Out-of-distribution score: above 1 the image is unlike the training data. "
        "null: not known."
    )
    bundle: str = Field(description="Id of the student that gave it.")
    thumbnail: str | None = Field(default=None, description="A small PNG as a data: URL, if asked.")


class RefusedFile(BaseModel):
    """A file that was not labelled, and why; the others of its request are."""

    file: str
    sha256: str
    status: int = Field(description="The HTTP status that it would have got alone.")
    error: str = Field(description="The reason, in one line.")


class Answer(BaseModel):
    """What became of a request's files, in their order."""

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
                        "decision": "auto",
                        "review_reasons": [],
                        "ood_score": 0.41,
                        "bundle": "5f3a9c-seed-0007",
                    },
                    {"file": "b.txt", "sha256": _HASH, "status": 415, "error": "not a PNG, ..."},
                ],
            }
        }
    )

    request_id: str
    results: list[Annotation | RefusedFile]


class Model(BaseModel):
    """A student that can be asked."""

    id: str
    classes: list[str]
    size: int = Field(description="Side in pixels of what it sees.")
    channels: int = Field(description="1: grey, 3: colour.")
    architecture: str
    calibrated: bool = Field(description="Whether it can decide `auto`.")
    default: bool = Field(description="Whether it answers when none is named.")
    warnings: list[str] = Field(
        description="What its run warned of; with any, everything goes to review."
    )


class Models(BaseModel):
    """All of them."""

    models: list[Model]


class Health(BaseModel):
    """That the service answers, and with which student."""

    status: Literal["ok"] = "ok"
    bundle: str
    classes: list[str]


class Refusal(BaseModel):
    """Why a request was not answered."""

    detail: str
    results: list[RefusedFile] = Field(default=[], description="File by file, if there are any.")


class Correction(BaseModel):
    """A person's word on one image: the label accepted, or another."""

    model_config = ConfigDict(extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", examples=[_HASH])
    index: int = Field(default=0, ge=0, le=2**31)
    file: str = Field(default="", max_length=255)
    bundle: str = Field(max_length=200)
    predicted: str = Field(max_length=200, description="What the student said.")
    confidence: _Share
    label: str = Field(max_length=200, description="What the person says.")
    who: str = Field(default="", max_length=100, description="A name that the person gave.")


class StoredCorrection(Correction):
    """The same with its number and time, and the classes that there were to choose from."""

    sha256: str = Field(
        pattern=r"^([0-9a-f]{64})?$",
        description="Empty where Label Studio did not give the image: `file` is its address there.",
    )
    classes: list[str]
    id: int
    at: str = Field(description="Time in UTC, ISO 8601.")


class Corrections(BaseModel):
    """The latest word on each image."""

    corrections: list[StoredCorrection]
