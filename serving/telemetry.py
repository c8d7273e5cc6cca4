"""What Prometheus may read of one copy of the application. A copy counts for itself."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from serving.schemas import Annotation, RefusedFile

__all__ = ["CONTENT_TYPE", "Telemetry"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Telemetry:
    """The counters of one copy; `replica` tells them apart."""

    def __init__(self, replica: str) -> None:
        self._registry = CollectorRegistry()
        self._replica = replica

        def counter(name: str, text: str, labels: Sequence[str]) -> Counter:
            return Counter(name, text, ("replica", *labels), registry=self._registry)

        self._requests = counter(
            "medlabel_requests", "Answered requests by route and status", ("route", "status")
        )
        self._images = counter(
            "medlabel_annotations",
            "Labelled images by student and decision",
            ("bundle", "decision"),
        )
        self._refused = counter("medlabel_refused_files", "Refused files by status", ("status",))
        self._seconds = Histogram(
            "medlabel_request_seconds",
            "Seconds from the first byte of a request to the last of its answer",
            ("replica", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "medlabel_batch_files",
            "Files a batch",
            ("replica",),
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self._registry,
        ).labels(replica)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(self._replica, route, str(status)).inc()
        self._seconds.labels(self._replica, route).observe(seconds)

    def labelled(self, results: Sequence[Annotation | RefusedFile]) -> None:
        """Count results."""
        for one in results:
            if isinstance(one, RefusedFile):
                self._refused.labels(self._replica, str(one.status)).inc()
            else:
                self._images.labels(self._replica, one.bundle, one.decision).inc()

    def batch(self, files: int) -> None:
        """Count a batch."""
        self._batches.observe(files)

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
