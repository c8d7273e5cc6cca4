"""`medlabel serve`: runs the application on this machine until Ctrl-C."""

import logging
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress

from rich.console import Console

from medlabel.errors import MedlabelError
from serving.auth import TOKEN, read_secret
from serving.launch.addresses import check_authorised, check_port, check_state, is_answering
from serving.launch.proxy import prepare
from serving.registry import Registry
from serving.schemas import Model, ServeArgs

__all__ = ["serve_run"]

_START_TIMEOUT = 20.0  # seconds until HAProxy must have connected to the first replica


def serve_run(
    args: ServeArgs, host: str = "127.0.0.1", port: int = 8000, *, blocking: bool = True
) -> None:
    """Serve bundles on this machine until Ctrl-C or SIGTERM; SIGUSR1 reads the bundles again.

    Args:
        args: the settings.
        host: address to listen on.
        port: to listen on.
        blocking: if False, return as soon as the server answers.

    Raises:
        MedlabelError: the host is not loopback and there is no token, the port is in use, or a
            folder is not a bundle.
    """
    check_authorised(host, read_secret(args.token_file, TOKEN))
    check_port(host, port)
    registry = Registry(args.bundles)
    check_state(args.state)
    with ExitStack() as stack:
        if folder := prepare():
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        import ray

        from rayjobs.cluster import connect

        stack.callback(_stop, leave_ray=ray.is_initialized())
        connect()
        _deploy(args, host, port)
        if not blocking:
            stack.pop_all()
            return
        _announce(registry.models, host, port)
        _wait(args)


def _wait(args: ServeArgs) -> None:
    """Wait for Ctrl-C or SIGTERM; at each SIGUSR1 deploy the bundles as they are then."""
    reload = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray's own would abort
    signal.signal(signal.SIGUSR1, lambda *_: reload.set())
    with suppress(KeyboardInterrupt):
        while True:
            reload.wait()
            reload.clear()
            try:
                _start(args)
            except MedlabelError as error:
                Console(stderr=True).print(f"still serving the old bundles: {error}", markup=False)


def _deploy(args: ServeArgs, host: str, port: int) -> None:
    from ray import serve

    from rayjobs.cluster import await_slots

    need = {"CPU": args.num_cpus, "GPU": args.num_gpus}
    await_slots(need, args.min_replicas, "replica")
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    with _one_line_errors():
        serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
    _start(args)
    end = time.monotonic() + _START_TIMEOUT
    while not is_answering(host, port, "/readyz"):
        if time.monotonic() > end:
            raise MedlabelError(
                f"Ray Serve does not answer on {host} port {port}: this cluster's Serve was "
                "started with another address before; end it with `serve shutdown`, then try again"
            )
        time.sleep(0.1)


def _start(args: ServeArgs) -> None:
    """Deploy the application, or update it."""
    from serving.launch.app import start

    with _one_line_errors():
        start(args)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Convert Ray Serve's exceptions to a `MedlabelError`."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    from rayjobs.cluster import reason_of

    try:
        yield
    except (RayServeException, RayError, RuntimeError, TimeoutError) as error:
        raise MedlabelError(
            f"Ray Serve could not start the application: {reason_of(error)}"
        ) from error


def _announce(models: list[Model], host: str, port: int) -> None:
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    console = Console()
    for model in models[:5]:
        classes = ", ".join(model.classes)
        console.print(f"{model.id} labels: {classes}", markup=False, soft_wrap=True)
        for warning in model.warnings:
            console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    if len(models) > 5:
        console.print(f"... and {len(models) - 5} more: {address}/models", soft_wrap=True)
    console.print(f"  {address} is the page, {address}/docs the API", soft_wrap=True)
    console.print(f"  curl -F file=@image.png {address}/annotate", markup=False, soft_wrap=True)
    console.print("  Ctrl-C stops", soft_wrap=True)


def _stop(*, leave_ray: bool) -> None:
    """Stop the application, and what of Serve and Ray was started for it alone."""
    import ray
    from ray import serve

    from serving.launch.app import APPLICATION

    if not ray.is_initialized():
        return
    with redirect_stdout(None):  # Ray reports the end of its controller as an error
        if APPLICATION in serve.status().applications:
            serve.delete(APPLICATION, _blocking=leave_ray)
        if not serve.status().applications and leave_ray:
            serve.shutdown()
    if not leave_ray:
        ray.shutdown()
