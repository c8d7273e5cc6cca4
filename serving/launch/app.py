"""The Ray Serve application: the interface of `serving/api.py`, one service a replica.

    $ medlabel serve runs/demo            # here, until Ctrl-C
    $ serve deploy serving/serve.yaml     # on a cluster

A replica answers by itself: it reads, decodes, batches and labels in its own process, and HAProxy
in front (see `serving/proxy.py`) hands it connections. No request passes from process to process
through Ray, which would take longer than labelling it does.
"""

import asyncio
from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from starlette.types import ASGIApp

from medlabel.storage.store import Store
from medlabel.student.bundle import Bundle, load_bundle
from serving.api import make_api
from serving.auth import TOKEN, read_secret
from serving.label_studio.image_reader import ImageReader
from serving.launch.addresses import check_authorised, state_folder
from serving.registry import Place, Registry, find_bundle
from serving.schemas import ServeArgs
from serving.service import Service

__all__ = ["APPLICATION", "build", "start"]

APPLICATION = "medlabel"
_KEPT = 128  # students that a replica holds; it forgets the one that was asked least lately
_BUSY = 0.5  # share of `max_ongoing` at which another replica is started


@serve.ingress()
class Annotator:
    """One copy of the application."""

    def __init__(self, args: ServeArgs) -> None:
        import torch

        torch.set_num_threads(max(1, int(args.num_cpus)))
        self._token = read_secret(args.token_file, TOKEN)
        check_authorised(_listening_host(), self._token)
        self._reader = ImageReader(
            args.label_studio_url,
            read_secret(args.label_studio_token_file, "LABEL_STUDIO_API_KEY"),
            int(args.max_body_mib * 2**20),
        )
        self._device = "cuda" if args.num_gpus else "cpu"
        name = serve.get_replica_context().replica_id.unique_id
        self._service = Service(args, name, state_folder(args.state), self._find)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """What Serve asks for when the replica is made."""
        return make_api(self._service, self._token, self._reader)

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Serve's way to say that the bundles have changed."""
        await self._service.offer(list(config["bundles"]))

    async def check_health(self) -> None:
        """Serve's question; a replica whose student does not answer is replaced."""
        await self._service.check()

    async def _find(self, place: Place) -> Bundle:
        bundle: Bundle = await self._load(place.key)
        return bundle

    @serve.multiplexed(max_num_models_per_replica=_KEPT)  # type: ignore[untyped-decorator]  # Ray
    async def _load(self, key: str) -> Bundle:
        bundle = await asyncio.to_thread(load_bundle, key.rpartition("#")[0])
        bundle.student.to(self._device)
        return bundle


def _listening_host() -> str | None:
    """The address that Serve was told to listen on."""
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    return None if client is None else client.http_config.host


def build(args: ServeArgs) -> serve.Application:
    """The application for `serve.run`, `serve run` and Serve's YAML files.

    Raises:
        MedlabelError: a bundle is none, or is damaged.
    """
    bundles = [find_bundle(Store(uri).uri) for uri in args.bundles]
    args = args.model_copy(update={"bundles": bundles})
    digests = [place.key for place in Registry(bundles).places]
    for folder in bundles:
        load_bundle(folder)  # what is damaged is found here, and not by every copy
    replicas: dict[str, Any] = {"num_replicas": args.min_replicas}
    if args.max_replicas is not None and args.max_replicas > args.min_replicas:
        replicas = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=args.min_replicas,
                max_replicas=args.max_replicas,
                target_ongoing_requests=max(1.0, _BUSY * args.max_ongoing),
            )
        }
    deploy = serve.deployment(
        max_ongoing_requests=args.max_ongoing,
        max_queued_requests=args.max_queued,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=1),
        # A line a request is in the audit; what is missing there is in /metrics.
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        ray_actor_options={"num_cpus": args.num_cpus, "num_gpus": args.num_gpus},
        # The digests make a bundle that was overwritten in its place a change.
        user_config={"bundles": bundles, "digests": digests},
        **replicas,
    )
    return deploy(Annotator).bind(args)


def start(args: ServeArgs) -> None:
    """Start the application in the Serve that runs, or change the one that is there."""
    serve.run(build(args), name=APPLICATION, route_prefix="/")
