"""The servers that benchmarks/serve.py compares ours with, as plain as their tutorials have them.

`python -m benchmarks.servers fastapi|litserve|ray BUNDLE PORT`: each takes one image as the body of
`POST /annotate` and answers its probabilities, by the bundle's own preprocessing and network. None
hashes, calibrates, limits or counts anything; ours does.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI, Request
from PIL import Image

from medlabel.bundle import Bundle, load_bundle
from medlabel.fit import predict


def _answer(bundle: Bundle, data: bytes) -> dict[str, Any]:
    image = bundle.square(np.array(Image.open(BytesIO(data))))
    row = predict(bundle.student, image[None])[0]
    return {"label": bundle.classes[int(row.argmax())], "probabilities": row.tolist()}


def fastapi(folder: str, port: int) -> None:
    """FastAPI under one uvicorn worker."""
    import uvicorn

    bundle, api = load_bundle(folder), FastAPI()

    @api.post("/annotate")
    async def annotate(request: Request) -> dict[str, Any]:
        return _answer(bundle, await request.body())

    uvicorn.run(api, port=port, log_level="error")


def litserve(folder: str, port: int) -> None:
    """LitServe with its batching; bytes come in as the request itself."""
    import litserve as ls

    class Annotate(ls.LitAPI):  # type: ignore[misc, unused-ignore]
        def setup(self, device: str) -> None:
            torch.set_num_threads(1)
            self.bundle = load_bundle(folder)

        async def decode_request(self, request: Request) -> bytes:
            return await request.body()

        def predict(self, batch: list[bytes]) -> list[dict[str, Any]]:
            return [_answer(self.bundle, data) for data in batch]

        def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return output

        def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
            return output

    api = Annotate(max_batch_size=32, batch_timeout=0.005, api_path="/annotate")
    ls.LitServer(api, accelerator="cpu").run(port=port, log_level="error", host="127.0.0.1")


def ray(folder: str, port: int) -> None:
    """Ray Serve as it comes: FastAPI's ingress and `serve.batch` with their defaults."""
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
    serve.run(Annotate.bind(), route_prefix="/")  # type: ignore[attr-defined]
    signal.pause()


SERVERS: dict[str, Callable[[str, int], None]] = {
    "fastapi": fastapi,
    "litserve": litserve,
    "ray": ray,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    SERVERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
