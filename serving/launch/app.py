"""The Ray Serve application: the API of `serving.api`, with one service per replica.

    $ medlabel serve runs/demo            # on this machine, until Ctrl-C
    $ serve deploy serving/serve.yaml     # on a cluster

A replica reads, decodes, batches and labels in its own process, and HAProxy (see
`serving.launch.proxy`) connects clients to it directly. Passing requests between processes through
Ray would take longer than labelling them.
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
from serving.registry import RegisteredBundle, Registry, find_bundle
from serving.schemas import ServeArgs
from serving.service import Service

__all__ = ["APPLICATION", "build", "start"]

APPLICATION = "medlabel"
_MAX_LOADED = 128  # students in memory per replica; the least recently used is dropped
_TARGET_LOAD = 0.5  # share of `max_ongoing` above which another replica is started


@serve.ingress()
class Annotator:
    """One replica of the application."""

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
        self._service = Service(args, name, state_folder(args.state), self._load)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Serve when the replica is created."""
        return make_api(self._service, self._token, self._reader)

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Called by Serve when `user_config`, which lists the bundles, has changed."""
        await self._service.set_bundles(list(config["bundles"]))

    async def check_health(self) -> None:
        """Called by Serve, which replaces the replica if this raises."""
        await self._service.check()

    async def _load(self, entry: RegisteredBundle) -> Bundle:
        bundle: Bundle = await self._load_by_key(entry.key)
        return bundle

    @serve.multiplexed(max_num_models_per_replica=_MAX_LOADED)  # type: ignore[untyped-decorator]  # Ray
    async def _load_by_key(self, key: str) -> Bundle:
        bundle = await asyncio.to_thread(load_bundle, key.rpartition("#")[0])
        bundle.student.to(self._device)
        return bundle


def _listening_host() -> str | None:
    """The address on which Serve listens."""
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    return None if client is None else client.http_config.host


def build(args: ServeArgs) -> serve.Application:
    """The application for `serve.run`, `serve run` and Serve's YAML files.

    Raises:
        MedlabelError: a folder is not a bundle, or is damaged.
    """
    bundles = [find_bundle(Store(uri).uri) for uri in args.bundles]
    args = args.model_copy(update={"bundles": bundles})
    keys = [entry.key for entry in Registry(bundles).entries]
    for folder in bundles:
        load_bundle(folder)  # so that damage is found once, here, and not by every replica
    replicas: dict[str, Any] = {"num_replicas": args.min_replicas}
    if args.max_replicas is not None and args.max_replicas > args.min_replicas:
        replicas = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=args.min_replicas,
                max_replicas=args.max_replicas,
                target_ongoing_requests=max(1.0, _TARGET_LOAD * args.max_ongoing),
            )
        }
    deploy = serve.deployment(
        max_ongoing_requests=args.max_ongoing,
        max_queued_requests=args.max_queued,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=1),
        # The audit log has a line per image; /metrics counts the requests.
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        ray_actor_options={"num_cpus": args.num_cpus, "num_gpus": args.num_gpus},
        # The keys contain digests, so that Serve notices a bundle that was overwritten.
        user_config={"bundles": bundles, "keys": keys},
        **replicas,
    )
    return deploy(Annotator).bind(args)


def start(args: ServeArgs) -> None:
    """Deploy the application to the running Serve, or update it there."""
    serve.run(build(args), name=APPLICATION, route_prefix="/")
