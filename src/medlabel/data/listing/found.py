"""What is found in a folder or bucket: files, and what is no file or cannot be read."""

import json
from dataclasses import dataclass, field

from medlabel.data.listing.parts import UNREADABLE

RESULTS = "a folder of medlabel's own results: to read it, name it as a source of its own"
MANIFESTS = {  # of folders of results, and a key that tells each from a file of another program
    "annotate.json": "origin",
    "embed.json": "models",
    "label.json": "code_versions",
    "retrain.json": "asked",
    "run.json": "code_versions",
    "sweep.json": "spec",
    "tune.json": "spec",
}


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        files: what changes with the content of each regular file, by its path in the folder.
        rejects: why something else cannot be read, by its path; "" is the folder itself.
        origins: the real path of each local folder that was entered by a link, by its path; "" is
            the folder itself.
        linked: the real path of each file that is itself a link, by its path.
    """

    files: dict[str, str] = field(default_factory=dict)
    rejects: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    linked: dict[str, str] = field(default_factory=dict)

    def real(self, name: str) -> str:
        """The real path of what is listed: equal for all paths to it."""
        known = self.linked.get(name) or self.origins.get(name)
        if known:
            return known
        folder = name
        while folder:
            folder = folder.rpartition("/")[0]
            if folder in self.origins:
                return join(self.origins[folder], name[len(folder) :].lstrip("/"))
        return name


def join(folder: str, name: str) -> str:
    """A path in a folder; "" is the source itself."""
    return f"{folder.rstrip('/')}/{name}" if folder else name


def why_unreadable(error: OSError) -> str:
    """The reason in words, for something that the listing itself finds to be unreadable."""
    return f"{UNREADABLE}: {error.strerror or error}"


def is_manifest(name: str, content: bytes) -> bool:
    """Whether a file is the manifest of a folder of medlabel's results.

    >>> is_manifest("run.json", b'{"code_versions": {}}'), is_manifest("run.json", b"{}")
    (True, False)
    """
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and MANIFESTS.get(name) in facts
