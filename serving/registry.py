"""The registry of the students that are served; each is loaded on its first request."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medlabel.errors import MedlabelError
from medlabel.storage.digests import hex_digest
from medlabel.storage.store import Store
from medlabel.student import bundle
from serving.schemas import Model
from serving.verdicts import facts_of, full_verdict

__all__ = ["RegisteredBundle", "Registry", "find_bundle"]


@dataclass(frozen=True)
class RegisteredBundle:
    """Where a bundle is, and what its small files state about it; no weights are loaded."""

    uri: str
    sha256: str  # of the provenance: it holds the digest of the weights, and the verdict
    model: Model

    @property
    def key(self) -> str:
        """Identifies this student at this location."""
        return f"{self.uri}#{self.sha256}"


def find_bundle(uri: str) -> str:
    """The bundle at `uri`: the folder itself, or the best student of the run in that folder.

    Raises:
        MedlabelError: there is none.
    """
    found = bundle.find_bundle(uri)
    if not Store(found).exists("config.json"):
        raise MedlabelError(
            f"{uri} is no bundle, and no run that has one: it has no config.json; "
            "finish it with `medlabel run`, or name the folder of a bundle"
        )
    return found


class Registry:
    """The bundles that are served, by id; the first of them is the default.

    Raises:
        MedlabelError: one is not a bundle, is damaged or learned from another version of pixels, or
            two different ones have the same id.
    """

    def __init__(self, uris: Sequence[str]) -> None:
        self._entries: dict[str, RegisteredBundle] = {}
        for uri in uris:
            entry = _read_entry(find_bundle(uri), default=not self._entries)
            other = self._entries.setdefault(entry.model.id, entry)
            if other is not entry and other.uri != entry.uri:
                raise MedlabelError(
                    f"{other.uri} and {entry.uri} are both called {entry.model.id}: serve one"
                )
        self.default = next(iter(self._entries.values()))

    @property
    def entries(self) -> list[RegisteredBundle]:
        """All bundles, the default first."""
        return list(self._entries.values())

    @property
    def models(self) -> list[Model]:
        """Their descriptions, as `GET /models` returns them."""
        return [entry.model for entry in self._entries.values()]

    def classes(self, bundle_id: str) -> list[str]:
        """The classes of a student; an empty list for an unknown id."""
        entry = self._entries.get(bundle_id)
        return entry.model.classes if entry else []

    def find(self, bundle_id: str | None) -> RegisteredBundle | None:
        """The bundle with this id, the default for None or an empty id; None if unknown."""
        return self._entries.get(bundle_id) if bundle_id else self.default


def _read_entry(uri: str, *, default: bool) -> RegisteredBundle:
    store = Store(uri)
    config, provenance = store.read_json("config.json"), bundle.read_provenance(uri)
    preprocessing = bundle.check_pixels(uri, provenance)
    try:
        facts: dict[str, Any] = {key: config[key] for key in ("architecture", "channels", "size")}
        model = Model(
            id=str(provenance.get("bundle_id", "unknown")),
            classes=config["classes"],
            calibrated=store.exists(bundle.CALIBRATION_FILE),
            default=default,
            warnings=provenance.get("warnings", []),
            preprocessing=preprocessing,
            **facts_of(provenance) | {"verdict": full_verdict(provenance)},
            **facts,
        )
        return RegisteredBundle(uri, hex_digest(json.dumps(provenance)), model)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise MedlabelError(f"{uri} is a damaged bundle: {error}".splitlines()[0]) from error
