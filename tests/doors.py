"""A service without Ray, clients for it, and files to send: for the tests of the door."""

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


def write_bundle(folder, name="test", seed=0, classes=CLASSES):
    torch.manual_seed(seed)
    save_bundle(Store(str(folder)), Student("small", 1, classes, 28), {"bundle_id": name})
    return str(folder)


class Door:
    """A service and clients for it, in this process."""

    def __init__(self, folder, token=None, reader=None, **settings):
        self.folder = folder
        self.loaded = []
        self.kept = {}
        self.service = Service(ServeArgs(**settings), "copy", folder, self._load)
        self._api = make_api(self.service, token, reader)

    async def _load(self, place):
        if place.key not in self.kept:
            self.loaded.append(place.model.id)
            self.kept[place.key] = load_bundle(place.uri)
        return self.kept[place.key]

    def client(self, **headers):
        transport = httpx.ASGITransport(self._api)
        return httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers, timeout=30
        )

    def ask(self, method, path, headers=None, **options):
        """One request, waited for."""

        async def once():
            async with self.client(**(headers or {})) as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def post(self, *files, path="/annotate", **options):
        """Files as a form; a single bytes object as the body."""
        if len(files) == 1 and isinstance(files[0], bytes):
            return self.ask("POST", path, content=files[0], **options)
        return self.ask("POST", path, files=[("file", file) for file in files], **options)
