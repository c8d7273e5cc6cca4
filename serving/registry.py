"""The students that can be asked: found once, loaded when somebody asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import BUNDLE
from medlabel.storage.store import Store
from medlabel.student.bundle import CALIBRATION_FILE
from serving.schemas import Model

__all__ = ["Place", "Registry", "find_bundle"]


@dataclass(frozen=True)
class Place:
    """Where a student lies, and what its folder says of it before any weight is read."""

    uri: str
    sha256: str
    model: Model

    @property
    def key(self) -> str:
        """Names these weights at this place."""
        return f"{self.uri}#{self.sha256}"


def find_bundle(uri: str) -> str:
    """The bundle at `uri`: the folder itself, or the best student of the run that it is.

    Raises:
        MedlabelError: there is none.
    """
    store = Store(uri)
    for folder in (store, store / BUNDLE):
        if folder.exists("config.json"):
            return folder.uri
    raise MedlabelError(
        f"{uri} is no bundle, and no run that has one: it has no config.json; "
        "finish it with `medlabel run`, or name the folder of a bundle"
    )


class Registry:
    """The students of some bundles; the first of them answers where none is named.

    Raises:
        MedlabelError: a bundle is none, is damaged, or two have one id.
    """

    def __init__(self, uris: Sequence[str]) -> None:
        self._places: dict[str, Place] = {}
        for uri in uris:
            place = _look(find_bundle(uri), default=not self._places)
            other = self._places.setdefault(place.model.id, place)
            if other is not place and other.uri != place.uri:
                raise MedlabelError(
                    f"{other.uri} and {place.uri} are both called {place.model.id}: serve one"
                )
        self.default = next(iter(self._places.values()))

    @property
    def places(self) -> list[Place]:
        """Where they lie."""
        return list(self._places.values())

    @property
    def models(self) -> list[Model]:
        """What is said of them."""
        return [place.model for place in self._places.values()]

    def classes(self, bundle_id: str) -> list[str]:
        """The classes of a student, none where it is not here."""
        place = self._places.get(bundle_id)
        return place.model.classes if place else []

    def find(self, bundle_id: str | None) -> Place | None:
        """The student of that id, the first one for None or an empty id, or None."""
        return self._places.get(bundle_id) if bundle_id else self.default


def _look(uri: str, *, default: bool) -> Place:
    store = Store(uri)
    config, provenance = store.read_json("config.json"), store.read_json("provenance.json")
    try:
        facts: dict[str, Any] = {key: config[key] for key in ("architecture", "channels", "size")}
        model = Model(
            id=str(provenance.get("bundle_id", "unknown")),
            classes=config["classes"],
            calibrated=store.exists(CALIBRATION_FILE),
            default=default,
            warnings=provenance.get("warnings", []),
            **facts,
        )
        return Place(uri, str(provenance["sha256"]), model)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise MedlabelError(f"{uri} is a damaged bundle: {error}".splitlines()[0]) from error
