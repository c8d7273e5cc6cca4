"""Prometheus metrics of one replica, by the Prometheus project's own client.

Instrumentators for FastAPI count and time requests by route, which is two of the five metrics here.
On a route that does nothing prometheus-fastapi-instrumentator 8.1 adds 0.14 ms to a request and
starlette_exporter 0.24 adds 0.27 ms; `Authentication`, which calls `answered`, adds 0.06 ms with
all its checks. So those two metrics are counted here, too.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from serving.schemas import Annotation, RefusedFile

__all__ = ["CONTENT_TYPE", "Telemetry"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Telemetry:
    """The metrics of one replica; the label `replica` distinguishes it from others."""

    def __init__(self, replica: str) -> None:
        self._registry = CollectorRegistry()
        self._replica = replica

        def counter(name: str, text: str, labels: Sequence[str]) -> Counter:
            return Counter(name, text, ("replica", *labels), registry=self._registry)

        self._requests = counter(
            "medlabel_requests", "Answered requests by route and status", ("route", "status")
        )
        self._annotations = counter(
            "medlabel_annotations",
            "Annotated images by student and decision",
            ("bundle", "decision"),
        )
        self._refused = counter("medlabel_refused_files", "Refused files by status", ("status",))
        self._left_out = counter(
            "medlabel_label_studio_left_out",
            "Labels from Label Studio that were not stored, by reason",
            ("reason",),
        )
        self._seconds = Histogram(
            "medlabel_request_seconds",
            "Seconds from the first byte of a request to the last byte of its response",
            ("replica", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "medlabel_batch_files",
            "Files per batch",
            ("replica",),
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self._registry,
        ).labels(replica)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(self._replica, route, str(status)).inc()
        self._seconds.labels(self._replica, route).observe(seconds)

    def annotated(self, results: Sequence[Annotation | RefusedFile]) -> None:
        """Count the results of a request."""
        for result in results:
            if isinstance(result, RefusedFile):
                self._refused.labels(self._replica, str(result.status)).inc()
            else:
                self._annotations.labels(self._replica, result.bundle, result.decision).inc()

    def left_out(self, reason: str) -> None:
        """Count a label from Label Studio that was not stored."""
        self._left_out.labels(self._replica, reason).inc()

    def batch(self, files: int) -> None:
        """Count a batch of so many files."""
        self._batches.observe(files)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
