"""A service without Ray, a client for it, and files to send: for the tests of the service."""

import asyncio
from io import BytesIO

import httpx
import numpy as np
import torch
from PIL import Image

from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.networks import Student
from serving.api import make_api
from serving.schemas import ServeArgs
from serving.service import Service

CLASSES = ["chest", "breast"]


def png(image):
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def npy(array):
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def picture(seed=0, shape=(40, 50)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_bundle(folder, name="test", seed=0, classes=CLASSES, **provenance):
    torch.manual_seed(seed)
    facts = {"bundle_id": name, **provenance}
    save_bundle(Store(str(folder)), Student("small", 1, classes, 28), facts)
    return str(folder)


class ServiceClient:
    """Sends requests to a service of its own, in this process."""

    def __init__(self, folder, token=None, reader=None, **settings):
        self.folder = folder
        self.loaded = []
        self.kept = {}
        self.service = Service(ServeArgs(**settings), "replica", folder, self._load)
        self.api = make_api(self.service, token, reader)

    async def _load(self, entry):
        if entry.key not in self.kept:
            self.loaded.append(entry.model.id)
            self.kept[entry.key] = load_bundle(entry.uri)
        return self.kept[entry.key]

    def _client(self, **headers):
        transport = httpx.ASGITransport(self.api)
        return httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers, timeout=30
        )

    def request(self, method, path, headers=None, **options):
        """Send one request and return its response."""

        async def once():
            async with self._client(**(headers or {})) as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def post(self, *files, path="/annotate", **options):
        """Files as a form; a single bytes object as the body."""
        if len(files) == 1 and isinstance(files[0], bytes):
            return self.request("POST", path, content=files[0], **options)
        return self.request("POST", path, files=[("file", file) for file in files], **options)
