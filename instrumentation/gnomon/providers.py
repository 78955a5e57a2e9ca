"""The tracer provider of a service: its sampler, its exporter, the source of its trace ids."""

from __future__ import annotations

import logging
import os
import threading
import time
from random import getrandbits
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from gnomon.extras import require
from gnomon.otlp import lean
from gnomon.settings import has_endpoint
from gnomon.spans import SpanQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

    from gnomon.settings import Settings

log = logging.getLogger("gnomon")

_SAMPLER, _RATIO = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"


class TraceIds(IdGenerator):
    """Random ids, except that a thread may say which trace id it wants next."""

    def __init__(self) -> None:
        self._wanted = threading.local()

    def want(self, trace_id: int) -> None:
        """Give this trace id to the next root span of this thread."""
        self._wanted.trace_id = trace_id

    def generate_trace_id(self) -> int:
        """Return the id that is wanted, or a random one."""
        wanted: int = self._wanted.__dict__.pop("trace_id", 0)
        return wanted or random_id(128)

    def generate_span_id(self) -> int:
        """Return a random id."""
        return random_id(64)

    def is_trace_id_random(self) -> bool:
        """Whether the ids are: those that are wanted are drawn likewise."""
        return True


def random_id(bits: int) -> int:
    """Return a random number that is not 0."""
    while True:
        number = getrandbits(bits)
        if number:
            return number


class _Described(Resource):
    """A resource whose hash is known: the exporter asks for it at every span."""

    @classmethod
    def of(cls, resource: Resource) -> _Described:
        """Return a resource with the same content."""
        same = cls(resource.attributes, resource.schema_url)
        same._known = Resource.__hash__(same)
        return same

    _known = 0

    def __hash__(self) -> int:
        return self._known


class Provider:
    """A tracer provider, and how its sampling can be known beforehand.

    ratio: the share of root spans that are recorded, children as their parents; None if only the
    provider's sampler knows. ids: where it takes trace ids from, if that is ours.
    """

    def __init__(self, provider: Any, ratio: float | None, ids: TraceIds | None) -> None:
        self.provider = provider
        self.ratio = ratio
        self.ids = ids


_providers: dict[tuple[str, str, float | None], Provider] = {}
_queues: list[SpanQueue] = []


def flush(seconds: float) -> None:
    """Send what waits to be exported, for so many seconds at most."""
    until = time.monotonic() + seconds
    for queue in _queues:
        queue.force_flush(max(0, int((until - time.monotonic()) * 1000)))


def provider(settings: Settings, environ: Mapping[str, str] = os.environ) -> Provider | None:
    """Return the provider for an application's spans, None if there is nowhere to send them.

    The application's own global provider if it has set one; else one of ours, made global, if an
    OTLP endpoint is known.
    """
    current = trace.get_tracer_provider()
    ours = [known for known in _providers.values() if known.provider is current]
    if not ours and not isinstance(current, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return Provider(current, None, None)
    if not has_endpoint(environ):
        return None
    key = (settings.service, settings.service_version, settings.sample_ratio)
    if key not in _providers:
        ratio, sampler = _sampling(settings.sample_ratio, environ)
        # Jaeger's answers leave service.name out of a span's attributes, and so Grafana would not
        # know whose numbers a span leads to.
        attributes = {"service.name": settings.service, "gnomon.service": settings.service}
        if settings.service_version:
            attributes["service.version"] = settings.service_version
        ids = TraceIds()
        made = TracerProvider(
            sampler=sampler, resource=_Described.of(Resource.create(attributes)), id_generator=ids
        )
        queue = SpanQueue(
            _exporter(environ),
            size=_number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", 2048),
            batch=_number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
            delay=_number(environ, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000,
        )
        made.add_span_processor(queue)
        _queues.append(queue)
        if not ours:
            trace.set_tracer_provider(made)
        _providers[key] = Provider(made, ratio, ids)
    return _providers[key]


def _sampling(
    argument: float | None, environ: Mapping[str, str]
) -> tuple[float | None, Sampler | None]:
    """Return the ratio, if it is all there is to know, and the sampler; None for the SDK's."""
    name = environ.get(_SAMPLER, "").strip().lower()
    if argument is not None:
        ratio = argument
    elif name in ("", "parentbased_traceidratio"):
        ratio = _ratio(environ)
    elif name == "parentbased_always_on":
        ratio = 1.0
    elif name == "parentbased_always_off":
        ratio = 0.0
    else:
        return None, None
    return ratio, ParentBased(TraceIdRatioBased(ratio))


def _ratio(environ: Mapping[str, str]) -> float:
    text = environ.get(_RATIO, "")
    try:
        ratio = float(text or 1)
    except ValueError:
        ratio = -1
    if 0 <= ratio <= 1:
        return ratio
    log.warning("%s: %r is no number from 0 to 1; every trace is recorded", _RATIO, text)
    return 1.0


def _exporter(environ: Mapping[str, str]) -> SpanExporter:
    protocol = (
        environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    ).strip()
    if protocol == "grpc":
        module = require("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "otlp-grpc")
    elif protocol == "http/protobuf":
        module = require("opentelemetry.exporter.otlp.proto.http.trace_exporter", "fastapi")
    else:
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is neither http/protobuf nor grpc"
        )
    if protocol == "grpc":
        return EachProcess(module.OTLPSpanExporter)
    return lean(module.OTLPSpanExporter)()


class EachProcess(SpanExporter):
    """An exporter that each process makes for itself: gRPC's channels do not survive a fork."""

    def __init__(self, make: Callable[[], SpanExporter]) -> None:
        self._make = make
        self._pid = 0
        self._exporter: SpanExporter | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, by an exporter that was made in this process."""
        if self._exporter is None or self._pid != os.getpid():
            self._exporter, self._pid = self._make(), os.getpid()
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        """Shut down what was made in this process."""
        if self._exporter is not None and self._pid == os.getpid():
            self._exporter.shutdown()


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    try:
        number = int(environ.get(name) or default)
    except ValueError:
        number = 0
    if number > 0:
        return number
    log.warning("%s: %r is no positive number; %d it is", name, environ.get(name), default)
    return default
