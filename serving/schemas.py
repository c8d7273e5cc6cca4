"""What goes in and out of the door, as types: the OpenAPI page is made from them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Annotation", "Health", "Refusal", "ServeArgs"]


class ServeArgs(BaseModel):
    """Settings of the application, on the command line or under `args:` in a Serve YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: str = Field(description="Folder or bucket of the trained student.")
    max_batch_size: int = Field(default=32, ge=1, le=1024, description="Images labelled at once.")
    batch_wait_s: float = Field(
        default=0.005,
        ge=0,
        le=1,
        description="Seconds a batch waits to fill.",
    )
    num_replicas: int = Field(default=1, ge=1, description="Copies of the student.")
    num_cpus: float = Field(default=1, gt=0, description="CPUs of each copy.")
    num_gpus: float = Field(default=0, ge=0, description="GPUs of each copy; 0: the CPU.")


class Annotation(BaseModel):
    """The label of one image, and what it is worth."""

    label: str = Field(description="The most probable class.")
    confidence: float = Field(description="Its probability, 0 to 1.")
    probabilities: dict[str, float] = Field(description="One a class; they sum to 1.")
    bundle: str = Field(description="Id of the student that gave it.")
    sha256: str = Field(description="Hash of the file that was received, in hexadecimal.")


class Health(BaseModel):
    """That the student is loaded, and which."""

    status: Literal["ok"] = "ok"
    bundle: str
    classes: list[str]


class Refusal(BaseModel):
    """Why a request was not answered."""

    detail: str
