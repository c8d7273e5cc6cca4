"""The Ray Serve application: an image in, a label and its probabilities out.

| route | what it does |
| --- | --- |
| `POST /annotate` | labels one image, sent as the form's `file` or as the whole body |
| `GET /healthz` | says that the student is loaded, and which classes it knows |
| `GET /openapi.json`, `GET /docs` | the interface, for programs and for people |

`/docs` is FastAPI's page: the browser that opens it fetches its script from a public CDN. Where
there is no internet, `/openapi.json` says the same. The server itself fetches nothing.

    serve_run("runs/demo/bundle")         # here, until Ctrl-C
    $ serve deploy serving/serve.yaml     # on a cluster
"""

import asyncio
import logging
import signal
import threading
from contextlib import ExitStack, redirect_stdout, suppress
from typing import Any

import ray
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.exceptions import RayServeException
from rich.console import Console

from medlabel import __version__
from medlabel.bundle import Bundle, load_bundle
from medlabel.errors import MedlabelError
from medlabel.store import Store
from serving.annotate import annotate
from serving.images import Refused
from serving.listen import answers, check_address
from serving.schemas import Annotation, Health, Refusal, ServeArgs
from serving.uploads import FIELD, read_upload

__all__ = ["build", "serve_run"]

APPLICATION = "medlabel"
_QUEUE = 256  # requests that may wait; more are told 429 and to come back
_REQUEST_TIMEOUT = 60.0  # seconds; whoever sends slower is told 408
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD = {
    "type": "object",
    "required": [FIELD],
    "properties": {FIELD: {"type": "string", "format": "binary"}},
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "Nothing was sent, or a malformed form"},
    413: {"model": Refusal, "description": "Too many bytes or pixels"},
    415: {"model": Refusal, "description": "Not a PNG, JPEG, TIFF, DICOM or npy"},
    422: {"model": Refusal, "description": "An image that cannot be read"},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _UPLOAD},
            "image/png": _BINARY,
            "image/jpeg": _BINARY,
            "image/tiff": _BINARY,
            "application/dicom": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}

api = FastAPI(
    title="medlabel",
    version=__version__,
    description="Labels medical images with a small CNN that learned from a zero-shot teacher. "
    "Not for clinical use.",
)


@api.exception_handler(Refused)
async def _refuse(_request: Request, refused: Refused) -> JSONResponse:
    return JSONResponse({"detail": refused.reason}, status_code=refused.status)


@serve.ingress(api)
class Annotator:
    """One copy of the student: it answers requests and gathers their images into batches."""

    def __init__(self, args: ServeArgs) -> None:
        self._bundle = load_bundle(args.bundle)
        if args.num_gpus:
            self._bundle.student.to("cuda")
        batch: Any = self._annotate  # Ray's decorator adds setters that its types leave out
        batch.set_max_batch_size(args.max_batch_size)
        batch.set_batch_wait_timeout_s(args.batch_wait_s)

    @api.post("/annotate", responses=_REFUSALS, openapi_extra=_BODY)
    async def annotate(self, request: Request) -> Annotation:
        """Label one image: a PNG, JPEG, TIFF or DICOM, or an npy of uint8 [H, W] or [H, W, 3].

        Send it as the file field `file` of a form, or as the body itself.
        """
        answer: Annotation | Refused = await self._annotate(await read_upload(request))
        if isinstance(answer, Refused):
            raise answer
        return answer

    @api.get("/healthz")
    async def healthz(self) -> Health:
        """Say that the student is loaded, and which one it is."""
        return Health(bundle=self._bundle.id, classes=list(self._bundle.classes))

    @serve.batch
    async def _annotate(self, files: list[bytes]) -> list[Annotation | Refused]:
        """A batch, in a thread of its own: uploads and health checks go on meanwhile."""
        return await asyncio.to_thread(annotate, self._bundle, files)


def build(args: ServeArgs) -> serve.Application:
    """The application for `serve.run`, `serve run` and Serve's YAML files."""
    args = args.model_copy(update={"bundle": Store(args.bundle).uri})
    deploy = serve.deployment(
        num_replicas=args.num_replicas,
        max_ongoing_requests=2 * args.max_batch_size,  # one batch is computed, the next fills
        max_queued_requests=_QUEUE,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
        ray_actor_options={"num_cpus": args.num_cpus, "num_gpus": args.num_gpus},
    )
    return deploy(Annotator).bind(args)


def serve_run(
    bundle_uri: str, host: str = "127.0.0.1", port: int = 8000, *, blocking: bool = True
) -> None:
    """Serve a bundle on this machine until Ctrl-C or SIGTERM.

    Returns as soon as it answers if not `blocking`.

    Raises:
        MedlabelError: the host is not loopback, the port is taken, or the bundle is none.
    """
    check_address(host, port)
    bundle = load_bundle(bundle_uri)
    from rayjobs.cluster import connect

    with ExitStack() as stack:
        stack.callback(_stop, leave_ray=ray.is_initialized())
        connect()
        _deploy(bundle_uri, host, port)
        if not blocking:
            stack.pop_all()
            return
        _announce(bundle, host, port)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray's own would abort
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _deploy(bundle_uri: str, host: str, port: int) -> None:
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    http = {"host": host, "port": port, "request_timeout_s": _REQUEST_TIMEOUT}
    try:
        serve.start(proxy_location="HeadOnly", http_options=http)
        serve.run(build(ServeArgs(bundle=bundle_uri)), name=APPLICATION, route_prefix="/")
    except (RayServeException, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise MedlabelError(f"Ray Serve could not start the application: {reason}") from error
    if not answers(host, port, "/healthz"):
        raise MedlabelError(
            f"Ray Serve does not answer on {host} port {port}: this cluster's Serve was started "
            "with another address before; end it with `serve shutdown`, then try again"
        )


def _announce(bundle: Bundle, host: str, port: int) -> None:
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    console = Console()
    classes = ", ".join(bundle.classes)
    console.print(f"{address} tells apart: {classes}", markup=False, soft_wrap=True)
    console.print(f"  curl -F {FIELD}=@image.png {address}/annotate", markup=False, soft_wrap=True)
    console.print(f"  {address}/docs shows the interface; Ctrl-C stops", soft_wrap=True)


def _stop(*, leave_ray: bool) -> None:
    """Take the application down, then what of Serve and Ray was started for it alone."""
    if not ray.is_initialized():
        return
    with redirect_stdout(None):  # Ray prints that its controller dies of being shut down
        if APPLICATION in serve.status().applications:
            serve.delete(APPLICATION)
        if not serve.status().applications:
            serve.shutdown()
    if not leave_ray:
        ray.shutdown()
