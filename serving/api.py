"""The interface over HTTP, made around a service: routes, types, documentation.

| route | what it does |
| --- | --- |
| `GET /` | the page |
| `POST /annotate` | labels files: a form's `file` fields, or one as the whole body |
| `GET /models` | the students that can be asked |
| `POST /corrections`, `GET /corrections` | keeps a person's word on an image; the latest on each |
| `GET /corrections.csv`, `GET /corrections.json` | to take away: a table, Label Studio tasks |
| `GET /healthz`, `GET /readyz`, `GET /metrics` | for machines that watch |
| `/label-studio/...` | the backend that Label Studio asks for predictions |

`/docs` is FastAPI's page: the browser that opens it fetches its script from a public CDN. Where
there is no internet, `/openapi.json` says the same. The server itself fetches nothing, but from
the one Label Studio that it was told of.
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
from serving.images import Refused
from serving.label_studio.backend import make_backend
from serving.label_studio.image_reader import ImageReader
from serving.schemas import (
    Answer,
    Correction,
    Corrections,
    Health,
    Models,
    Refusal,
    RefusedFile,
    StoredCorrection,
)
from serving.service import AnnotateOptions, Service, request_id
from serving.telemetry import CONTENT_TYPE
from serving.uploads import FIELDS, Bounded

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
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "Nothing was sent, or a malformed form"},
    401: {"model": Refusal, "description": "Without the token"},
    403: {"model": Refusal, "description": "From another site's page"},
    404: {"model": Refusal, "description": "No such student"},
    408: {"model": Refusal, "description": "Sent too slowly"},
    413: {"model": Refusal, "description": "Too many bytes, pixels or images"},
    415: {"model": Refusal, "description": "Not a PNG, JPEG, TIFF, DICOM, npy or npz"},
    422: {"model": Refusal, "description": "An image that cannot be read"},
    503: {"model": Refusal, "description": "Busy: come back after Retry-After seconds"},
}

_IN_JSON: dict[int | str, dict[str, Any]] = {  # a refusal, of a route that else answers in CSV
    422: {
        "description": "A value that is not allowed",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    }
}


def make_api(
    service: Service, token: str | None = None, reader: ImageReader | None = None
) -> ASGIApp:
    """The application around a service; with a token, nothing is told without it.

    `reader` reads the images of Label Studio's tasks; without one, those in the tasks themselves.
    """
    api = FastAPI(
        title="medlabel",
        version=__version__,
        description="Labels medical images with small CNNs that learned from a zero-shot teacher, "
        "and says when a person should look. Not for clinical use.",
        responses={422: {"model": Refusal, "description": "A value that is not allowed"}},
    )
    api.router.route_class = _Lean
    api.add_exception_handler(Refused, _refuse)
    api.add_exception_handler(RequestValidationError, _explain)
    _add_annotate(api, service)
    _add_corrections(api, service)
    _add_watching(api, service)
    _add_page(api)
    most = int(service.args.max_body_mib * 2**20)
    api.include_router(make_backend(service, reader or ImageReader(None, None, most)))
    seconds = service.args.max_sending_s
    bounded = Bounded(api, {"/label-studio/": most}, service.gate, seconds)
    return Authentication(bounded, token, service.telemetry)


class _Csv(PlainTextResponse):
    media_type = "text/csv"


class _Lean(APIRoute):
    """A route that is called as it is where a request has nothing for FastAPI to parse.

    It is a ninth of the time that a replica takes for an image.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for what handles a request."""
        full = super().get_route_handler()
        if self.path != "/annotate":
            return full

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                return await full(request)
            answer: Response = await self.endpoint(request)  # its parameters have defaults
            return answer

        return handle


def _add_annotate(api: FastAPI, service: Service) -> None:
    @api.post(
        "/annotate",
        response_model=Answer,
        responses=_REFUSALS,
        openapi_extra=_BODY,
        tags=["labels"],
    )
    async def annotate(
        request: Request,
        bundle: Annotated[str | None, Query(description="Id of a student, see /models.")] = None,
        auto_above: Annotated[
            float | None, Query(ge=0, le=1, description="Instead of the server's own.")
        ] = None,
        thumbnails: Annotated[bool, Query(description="Send small PNGs along.")] = False,
    ) -> Response:
        """Label one image or many: PNG, JPEG, TIFF, DICOM, or npy and npz stacks of uint8.

        Send files as `file` fields of a form, or one as the body itself. Each gets its label or
        its own error; when none could be labelled, the status is that of the first.
        """
        asked = AnnotateOptions(request_id(request), bundle, auto_above, thumbnails)
        answer = await service.annotate_request(request, asked)
        refused = [one for one in answer.results if isinstance(one, RefusedFile)]
        if len(refused) == len(answer.results):
            refusal = Refusal(detail=refused[0].error, results=refused)
            return _json(refusal.model_dump_json(), refused[0].status)
        return _json(answer.model_dump_json())

    @api.get("/models", tags=["labels"])
    async def models() -> Models:
        """The students that can be asked, and which answers where none is named."""
        return Models(models=service.shelf.models)


def _add_corrections(api: FastAPI, service: Service) -> None:
    every = Annotated[bool, Query(alias="all", description="All that was said, not the latest.")]

    def rows(all_of_them: bool) -> list[StoredCorrection]:
        notes = service.corrections
        return notes.history() if all_of_them else notes.latest()

    @api.post("/corrections", status_code=201, responses={400: {"model": Refusal}}, tags=["people"])
    def correct(correction: Correction) -> StoredCorrection:
        """Keep a person's word on an image: its label accepted, or another class."""
        classes = service.classes(correction.bundle)
        if correction.label not in classes:
            raise Refused(422, "the label is no class of that student: see /models")
        return service.corrections.add(correction, classes)

    @api.get("/corrections", tags=["people"])
    def corrections() -> Corrections:
        """The latest word on each image."""
        return Corrections(corrections=rows(False))

    @api.get("/corrections.csv", response_class=_Csv, responses=_IN_JSON, tags=["people"])
    def corrections_csv(everything: every = False) -> Response:
        """A table: one line an image."""
        headers = {"Content-Disposition": 'attachment; filename="corrections.csv"'}
        return _Csv(as_csv(rows(everything)), headers=headers)

    @api.get("/corrections.json", tags=["people"])
    def corrections_json(
        prefix: Annotated[
            str, Query(max_length=500, description="Put before each file's name.")
        ] = "",
        everything: every = False,
    ) -> JSONResponse:
        """Tasks with predictions and annotations, for Label Studio's import."""
        headers = {"Content-Disposition": 'attachment; filename="label-studio-tasks.json"'}
        return JSONResponse(as_tasks(rows(everything), prefix), headers=headers)


def _add_watching(api: FastAPI, service: Service) -> None:
    @api.get("/healthz", tags=["watching"])
    async def healthz() -> Health:
        """That it answers, and which student is the first."""
        first = service.shelf.default.model
        return Health(bundle=first.id, classes=first.classes)

    @api.get("/readyz", responses={503: {"model": Refusal}}, tags=["watching"])
    async def readyz() -> Health:
        """That the first student is loaded and labels."""
        await service.check()
        return await healthz()

    @api.get("/metrics", response_class=PlainTextResponse, tags=["watching"])
    async def metrics() -> Response:
        """Prometheus' text format; each copy of the application counts for itself."""
        return Response(service.telemetry.page(), media_type=CONTENT_TYPE)


class _Static(StaticFiles):
    """The page's files, told to browsers with the headers that keep others out."""

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


async def _refuse(_request: Request, refused: Exception) -> JSONResponse:
    status = refused.status if isinstance(refused, Refused) else 500
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"detail": str(refused)}, status, headers)


async def _explain(_request: Request, error: Exception) -> JSONResponse:
    """One line for what pydantic found, without repeating what was sent."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found]
    return JSONResponse({"detail": "; ".join(told)}, 422)
