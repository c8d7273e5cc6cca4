"""The servers that benchmarks/serve.py compares ours with, as plain as their tutorials have them.

`python -m benchmarks.servers fastapi|litserve|ray BUNDLE PORT`: each takes one image as the body of
`POST /annotate` and answers its probabilities, by the bundle's own preprocessing and network. None
hashes, calibrates, limits or counts anything; ours does.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import Body, FastAPI, Request
from PIL import Image

from medlabel.student.bundle import Bundle, load_bundle
from medlabel.student.fit import predict_proba

try:
    import litserve as ls
except ImportError:  # only where it is to be compared with
    ls = None


_Bytes = Annotated[bytes, Body(media_type="application/octet-stream")]


def _answer(bundle: Bundle, data: bytes) -> dict[str, Any]:
    image = bundle.square(np.array(Image.open(BytesIO(data))))
    row = predict_proba(bundle.student, image[None])[0]
    return {"label": bundle.classes[int(row.argmax())], "probabilities": row.tolist()}


def fastapi(folder: str, port: int) -> None:
    """FastAPI under one uvicorn worker."""
    import uvicorn

    bundle, api = load_bundle(folder), FastAPI()

    @api.post("/annotate")
    async def annotate(request: Request) -> dict[str, Any]:
        return _answer(bundle, await request.body())

    uvicorn.run(api, port=port, log_level="error")


class Annotate(ls.LitAPI if ls else object):  # type: ignore[misc, unused-ignore]  # optional
    """LitServe's way to answer: its workers, which are spawned, have to find this by its name."""

    folder = ""

    def setup(self, device: str) -> None:
        """Load the student."""
        torch.set_num_threads(1)
        self.bundle = load_bundle(self.folder)

    def decode_request(self, request: _Bytes) -> bytes:
        """The body as it is."""
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Images of any size cannot be stacked yet."""
        return inputs

    def predict(self, batch: list[bytes]) -> list[dict[str, Any]]:
        """The answers."""
        return [_answer(self.bundle, data) for data in batch]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One each."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """JSON as it is."""
        return output


def litserve(folder: str, port: int) -> None:
    """LitServe with its batching; bytes come in as the request itself."""
    api = Annotate(max_batch_size=32, batch_timeout=0.005, api_path="/annotate")
    api.folder = folder
    server = ls.LitServer(api, accelerator="cpu")
    server.run(port=port, log_level="error", host="127.0.0.1", generate_client_file=False)


def ray(folder: str, port: int) -> None:
    """Ray Serve with its defaults: FastAPI's ingress and `serve.batch`."""
    import signal

    from ray import serve

    from rayjobs.cluster import connect

    api = FastAPI()

    @serve.deployment(max_ongoing_requests=128)
    @serve.ingress(api)
    class Annotate:
        def __init__(self) -> None:
            torch.set_num_threads(1)
            self.bundle = load_bundle(folder)

        @api.post("/annotate")
        async def annotate(self, request: Request) -> dict[str, Any]:
            answer: dict[str, Any] = await self.together(await request.body())
            return answer

        @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)
        async def together(self, batch: list[bytes]) -> list[dict[str, Any]]:
            return [_answer(self.bundle, data) for data in batch]

    connect()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Annotate.bind(), route_prefix="/")  # type: ignore[attr-defined]  # `deployment` adds it
    signal.pause()


SERVERS: dict[str, Callable[[str, int], None]] = {
    "fastapi": fastapi,
    "litserve": litserve,
    "ray": ray,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    SERVERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
