"""What is measured of HTTP requests, streams excepted: names, labels, buckets."""

import threading

from gnomon.families import AnyFamily, Counters, Distribution, Gauges, Histograms, Ids

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


#: Requests that are counted together. A request finds the processor's caches full of what the
#: application does; to count some dozens in a row costs a fraction of counting each at its end.
TOGETHER = 64


#: Seconds until the end of an answer and until its first byte, bytes of its body and of the
#: request's, and, if it was traced, the ids of its trace with the seconds since the epoch.
Answer = tuple[float, float, int, int, tuple[Ids, float] | None]


class Observed:
    """The histograms of one combination of labels, resolved once, and what waits for them.

    Seconds and bytes. A request without a body has no size of one: ``received`` is 0 then.
    """

    __slots__ = ("_lock", "duration", "received", "route", "sent", "start", "waiting")

    def __init__(
        self,
        route: str,
        histograms: tuple[Distribution, Distribution, Distribution, Distribution],
        lock: threading.RLock,
    ) -> None:
        self.route = route
        self.duration, self.start, self.sent, self.received = histograms
        self._lock = lock
        #: Plain answers to be counted. Who adds the last of TOGETHER calls ``settle``.
        self.waiting: list[Answer] = []

    def settle(self) -> None:
        """Count the answers that wait."""
        # One lock for all: a request is either on a page or not.
        with self._lock:
            # Others may add to the end meanwhile.
            taken = self.waiting[:]
            del self.waiting[: len(taken)]
            if not taken:
                return
            durations, starts, sent, received, exemplars = zip(*taken, strict=True)
            self.duration.put_all(durations, exemplars)
            self.start.put_all(starts, exemplars)
            self.sent.put_all(sent, exemplars)
            if any(received):
                for size, exemplar in zip(received, exemplars, strict=True):
                    if size:
                        self.received.put(size, *(exemplar or ()))

    def put(
        self,
        duration: float,
        start: float | None,
        sent: int | None,
        received: int,
        exemplar: Ids | None,
    ) -> None:
        """Count one request now. None: that did not happen, which is not counted."""
        with self._lock:
            self.duration.put(duration, exemplar)
            if start is not None:
                self.start.put(start, exemplar)
            if sent is not None:
                self.sent.put(sent, exemplar)
            if received:
                self.received.put(received, exemplar)


class RequestFamilies:
    """The families of server requests, for all applications on one registry.

    cap: most label combinations of one family.
    """

    def __init__(self, cap: int) -> None:
        # By their first histogram: all that is beyond the cap has the same one.
        self._observed: dict[Distribution, Observed] = {}
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
        """Return where requests with these labels are counted, and whether it may be kept.

        That may not which stands for everything beyond the cap, for each use of it counts.
        status: 0 if no response was started. error: "" if there was none.
        """
        labels = (method, route, str(status) if status else "", error)
        before = self.duration.overflowed
        histograms = (
            self.duration.child(*labels),
            self.start.child(*labels),
            self.sent.child(*labels),
            self.received.child(*labels),
        )
        found = self._observed.get(histograms[0])
        if found is None:
            found = Observed(route, histograms, self.duration.lock)
            found = self._observed.setdefault(histograms[0], found)
        return found, self.duration.overflowed == before

    def settle(self) -> None:
        """Count all requests that wait, as before the families are read."""
        for observed in list(self._observed.values()):
            observed.settle()
