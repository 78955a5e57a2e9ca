"""What is measured of HTTP requests, streams excepted: names, labels, buckets."""

from typing import NamedTuple

from gnomon.families import AnyFamily, Counters, Distribution, Gauges, Histograms

#: Seconds: OpenTelemetry's buckets for HTTP, and 0.3 s, a bound that people promise.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.3, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

#: Bytes, from 256 B to 64 MiB.
BYTES = tuple(4.0**power for power in range(4, 14))

#: The methods that are told apart (RFC 9110, RFC 5789 and QUERY); any other is _OTHER.
METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
OTHER = "_OTHER"

LABELS = ("http_request_method", "http_route", "http_response_status_code", "error_type")


class Observed(NamedTuple):
    """The histograms of one combination of labels, resolved once."""

    duration: Distribution
    start: Distribution
    sent: Distribution
    received: Distribution


class RequestFamilies:
    """The families of server requests, for all applications on one registry.

    cap: most label combinations of one family.
    """

    def __init__(self, cap: int) -> None:
        self.duration = Histograms(
            "http_server_request_duration_seconds",
            "Time from a request's arrival to its response's end, or to a stream's first byte.",
            LABELS,
            cap,
            SECONDS,
        )
        self.start = Histograms(
            "gnomon_http_response_start_seconds",
            "Time from a request's arrival to the first byte of its response body.",
            LABELS,
            cap,
            SECONDS,
        )
        self.sent = Histograms(
            "http_server_response_body_size_bytes",
            "Size of response bodies as they were sent.",
            LABELS,
            cap,
            BYTES,
        )
        self.received = Histograms(
            "http_server_request_body_size_bytes",
            "Size of the bodies of requests that carried one.",
            LABELS,
            cap,
            BYTES,
        )
        self.active = Gauges(
            "http_server_active_requests",
            "Requests that have arrived and are not answered yet.",
            ("http_request_method", "url_scheme"),
            cap,
        )
        self.background_errors = Counters(
            "gnomon_http_background_errors",
            "Exceptions raised after the response was complete, by background tasks for example.",
            ("http_route", "error_type"),
            cap,
        )

    def families(self) -> tuple[AnyFamily, ...]:
        """Return all families."""
        return (
            self.duration,
            self.start,
            self.sent,
            self.received,
            self.active,
            self.background_errors,
        )

    def observed(self, method: str, route: str, status: int, error: str) -> tuple[Observed, bool]:
        """Return the histograms for these labels, and whether they may be kept.

        Those may not that stand for everything beyond the cap, for each use of them counts.
        status: 0 if no response was started. error: "" if there was none.
        """
        labels = (method, route, str(status) if status else "", error)
        before = self.duration.overflowed
        found = Observed(
            self.duration.child(*labels),
            self.start.child(*labels),
            self.sent.child(*labels),
            self.received.child(*labels),
        )
        return found, self.duration.overflowed == before

    def record(  # noqa: PLR0917  # keywords cost time on the path of every request
        self,
        observed: Observed,
        duration: float,
        start: float | None,
        sent: int | None,
        received: int | None,
        exemplar: dict[str, str] | None,
    ) -> None:
        """Count one request.

        Seconds and bytes; None for what did not happen or is not known, which is not counted; a
        request without a body has none to count either.
        """
        # One lock for all: the request is either on a page or not.
        with self.duration.lock:
            observed.duration.put(duration, exemplar)
            if start is not None:
                observed.start.put(start, exemplar)
            if sent is not None:
                observed.sent.put(sent, exemplar)
            if received:
                observed.received.put(received, exemplar)
