"""The HTTP API around a service: routes, types, documentation.

| route | what it does |
| --- | --- |
| `GET /` | the web page |
| `POST /annotate` | labels files: the `file` fields of a form, or one file as the body |
| `GET /models` | lists the students |
| `POST /corrections`, `GET /corrections` | stores a person's label; lists the latest per image |
| `GET /corrections.csv`, `GET /corrections.json` | exports them: a table, Label Studio tasks |
| `GET /healthz`, `GET /readyz`, `GET /metrics` | for monitoring |
| `/label-studio/...` | the machine learning backend for Label Studio |

`/docs` is FastAPI's page: the browser that opens it fetches its script from a public CDN. Without
internet access, `/openapi.json` has the same content. The server itself fetches nothing but images
from the one Label Studio that it is configured for.
"""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.routing import APIRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from medlabel import __version__
from serving.auth import Authentication
from serving.corrections import as_csv, as_tasks
from serving.images import RequestError
from serving.label_studio.backend import make_backend
from serving.label_studio.image_reader import ImageReader
from serving.schemas import (
    Answer,
    Correction,
    Corrections,
    ErrorResponse,
    Health,
    Models,
    RefusedFile,
    StoredCorrection,
)
from serving.service import AnnotateOptions, Service, request_id
from serving.telemetry import CONTENT_TYPE
from serving.uploads import FIELDS, BodyLimits

__all__ = ["make_api"]

PAGE = Path(__file__).parent / "page"
_SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELDS[0]],
                    "properties": {FIELDS[0]: _FILES},
                }
            },
            "image/png": _BINARY,
            "image/jpeg": _BINARY,
            "image/tiff": _BINARY,
            "application/dicom": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "Nothing was sent, or the form is malformed"},
    401: {"model": ErrorResponse, "description": "The token is missing or wrong"},
    403: {"model": ErrorResponse, "description": "Sent by another site's page"},
    404: {"model": ErrorResponse, "description": "Unknown student"},
    408: {"model": ErrorResponse, "description": "Sent too slowly"},
    413: {"model": ErrorResponse, "description": "Too many bytes, pixels or images"},
    415: {"model": ErrorResponse, "description": "Not a PNG, JPEG, TIFF, DICOM, npy or npz"},
    422: {"model": ErrorResponse, "description": "The image is damaged or unsuitable"},
    503: {"model": ErrorResponse, "description": "Busy: try again after Retry-After seconds"},
}

_JSON_ERROR: dict[int | str, dict[str, Any]] = {  # of a route whose other responses are CSV
    422: {
        "description": "A value that is not allowed",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
    }
}


def make_api(
    service: Service, token: str | None = None, reader: ImageReader | None = None
) -> ASGIApp:
    """The ASGI application around a service.

    Args:
        service: which does the work.
        token: that clients must send; None on loopback.
        reader: reads the images of Label Studio's tasks; None reads only those that a task itself
            contains, as a `data:` URL.
    """
    api = FastAPI(
        title="medlabel",
        version=__version__,
        description="Labels medical images with small CNNs that learned from a zero-shot teacher, "
        "and decides which labels a person should review. Not for clinical use.",
        responses={422: {"model": ErrorResponse, "description": "A value that is not allowed"}},
    )
    api.router.route_class = _FastRoute
    api.add_exception_handler(RequestError, _error_response)
    api.add_exception_handler(RequestValidationError, _validation_response)
    _add_annotate(api, service)
    _add_corrections(api, service)
    _add_monitoring(api, service)
    _add_page(api)
    max_body = int(service.args.max_body_mib * 2**20)
    api.include_router(make_backend(service, reader or ImageReader(None, None, max_body)))
    seconds = service.args.max_sending_s
    limited = BodyLimits(api, {"/label-studio/": max_body}, service.memory, seconds)
    return Authentication(limited, token, service.telemetry)


class _Csv(PlainTextResponse):
    media_type = "text/csv"


class _FastRoute(APIRoute):
    """A route that skips FastAPI's parsing of `/annotate` requests that have no parameters.

    Parsing takes a ninth of the time that a replica spends on an image.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook: the coroutine function that handles a request."""
        full = super().get_route_handler()
        if self.path != "/annotate":
            return full

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                return await full(request)
            response: Response = await self.endpoint(request)  # its parameters have defaults
            return response

        return handle


def _add_annotate(api: FastAPI, service: Service) -> None:
    @api.post(
        "/annotate",
        response_model=Answer,
        responses=_ERRORS,
        openapi_extra=_BODY,
        tags=["labels"],
    )
    async def annotate(
        request: Request,
        bundle: Annotated[
            str | None, Query(description="Id of a student, see /models. Default: the first.")
        ] = None,
        auto_above: Annotated[
            float | None,
            Query(ge=0, le=1, description="Labels of a lower probability are for review."),
        ] = None,
        thumbnails: Annotated[bool, Query(description="Whether to include small PNGs.")] = False,
    ) -> Response:
        """Label one image or many: PNG, JPEG, TIFF, DICOM, or npy and npz stacks of uint8.

        Send files as `file` fields of a form, or one file as the body. Each file gets its label or
        its own error. If no file could be labelled, the status is that of the first.
        """
        options = AnnotateOptions(request_id(request), bundle, auto_above, thumbnails)
        answer = await service.annotate_request(request, options)
        refused = [one for one in answer.results if isinstance(one, RefusedFile)]
        if len(refused) == len(answer.results):
            error = ErrorResponse(detail=refused[0].error, results=refused)
            return _json(error.model_dump_json(), refused[0].status)
        return _json(answer.model_dump_json())

    @api.get("/models", tags=["labels"])
    async def models() -> Models:
        """The students that are served, the default first."""
        return Models(models=service.registry.models)


def _add_corrections(api: FastAPI, service: Service) -> None:
    every = Annotated[
        bool, Query(alias="all", description="All corrections, not only the latest per image.")
    ]

    def rows(all_of_them: bool) -> list[StoredCorrection]:
        stored = service.corrections
        return stored.history() if all_of_them else stored.latest()

    @api.post(
        "/corrections", status_code=201, responses={400: {"model": ErrorResponse}}, tags=["people"]
    )
    def correct(correction: Correction) -> StoredCorrection:
        """Store a person's label for an image: the student's label accepted, or another class."""
        classes = service.classes(correction.bundle)
        if correction.label not in classes:
            raise RequestError(422, "the label is no class of that student: see /models")
        return service.corrections.add(correction, classes)

    @api.get("/corrections", tags=["people"])
    def corrections() -> Corrections:
        """The latest correction of each image."""
        return Corrections(corrections=rows(False))

    @api.get("/corrections.csv", response_class=_Csv, responses=_JSON_ERROR, tags=["people"])
    def corrections_csv(everything: every = False) -> Response:
        """A table with one row per image, or per correction with `all`."""
        headers = {"Content-Disposition": 'attachment; filename="corrections.csv"'}
        return _Csv(as_csv(rows(everything)), headers=headers)

    @api.get("/corrections.json", tags=["people"])
    def corrections_json(
        prefix: Annotated[
            str, Query(max_length=500, description="Prepended to each file name.")
        ] = "",
        everything: every = False,
    ) -> JSONResponse:
        """Tasks with predictions and annotations, for import into Label Studio."""
        headers = {"Content-Disposition": 'attachment; filename="label-studio-tasks.json"'}
        return JSONResponse(as_tasks(rows(everything), prefix), headers=headers)


def _add_monitoring(api: FastAPI, service: Service) -> None:
    @api.get("/healthz", tags=["monitoring"])
    async def healthz() -> Health:
        """Whether the service is running, and with which default student."""
        first = service.registry.default.model
        return Health(bundle=first.id, classes=first.classes)

    @api.get("/readyz", responses={503: {"model": ErrorResponse}}, tags=["monitoring"])
    async def readyz() -> Health:
        """Whether the default student is loaded and can label an image."""
        await service.check()
        return await healthz()

    @api.get("/metrics", response_class=PlainTextResponse, tags=["monitoring"])
    async def metrics() -> Response:
        """Metrics of this replica, in Prometheus' text format."""
        return Response(service.telemetry.render(), media_type=CONTENT_TYPE)


class _Static(StaticFiles):
    """The page's files, with headers that forbid all other content and sites."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_SAFE_HEADERS)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_page(api: FastAPI) -> None:
    @api.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=_SAFE_HEADERS)

    api.mount("/static", _Static(directory=PAGE))


def _json(body: str, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


async def _error_response(_request: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, RequestError) else 500
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"detail": str(error)}, status, headers)


async def _validation_response(_request: Request, error: Exception) -> JSONResponse:
    """Pydantic's findings in one line, without the values that were sent."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found]
    return JSONResponse({"detail": "; ".join(lines)}, 422)
