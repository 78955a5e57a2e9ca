"""What is measured of streams: how many are open, how long they lived, how they closed.

A stream is a response that is sent as it comes about: server-sent events, JSON lines, or a route
that the application marks as one. A response in chunks is none.
"""

from functools import lru_cache

from gnomon.families import AnyFamily, Counters, Gauges, Histograms, Ids

#: Seconds, from a quick answer to a day.
LIFETIMES = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)

MEDIA_TYPES = frozenset(
    {
        b"text/event-stream",
        b"application/x-ndjson",
        b"application/ndjson",
        b"application/jsonl",
        b"application/x-jsonlines",
        b"application/json-seq",
        b"application/stream+json",
    }
)


@lru_cache(maxsize=128)
def is_stream(media_type: bytes) -> bool:
    """Whether a response whose content-type header is this is a stream."""
    return media_type.partition(b";")[0].strip().lower() in MEDIA_TYPES


class StreamFamilies:
    """The families of streams, for all applications on one registry."""

    def __init__(self, cap: int) -> None:
        self.active = Gauges(
            "gnomon_http_stream_active", "Streams that are being sent.", ("http_route",), cap
        )
        self.duration = Histograms(
            "gnomon_http_stream_duration_seconds",
            "Lifetime of streams, from their request's arrival.",
            ("http_route",),
            cap,
            LIFETIMES,
        )
        self.closed = Counters(
            "gnomon_http_stream_closed",
            "Streams that ended, by outcome: completed, disconnected (the client left), error, "
            "cancelled.",
            ("http_route", "outcome"),
            cap,
        )

    def families(self) -> tuple[AnyFamily, ...]:
        """Return all families."""
        return (self.active, self.duration, self.closed)

    def opened(self, route: str) -> None:
        """Count a stream that begins."""
        self.active.child(route).add(1)

    def ended(self, route: str, lifetime: float, outcome: str, exemplar: Ids | None) -> None:
        """Count the end of a stream that was ``opened``. lifetime: seconds."""
        self.active.child(route).add(-1)
        self.duration.child(route).observe(lifetime, exemplar)
        self.closed.child(route, outcome).inc()
