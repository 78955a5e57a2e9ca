"""Put the pass around an application, and take it off again."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from prometheus_client import REGISTRY, CollectorRegistry

from gnomon import contrib, instruments
from gnomon.asgi import Pass
from gnomon.endpoint import Endpoint
from gnomon.extras import require
from gnomon.routes import Routes
from gnomon.settings import HEALTH, HEALTH_PATHS, Settings, Tracing, has_endpoint, settings
from gnomon.usage.driving import Host
from gnomon.workers.worker import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.applications import Starlette

log = logging.getLogger("gnomon")


class _Instrumented:
    """One application that is instrumented."""

    def __init__(self, app: Any, chosen: Settings, registry: CollectorRegistry) -> None:
        self.settings = chosen
        self.registry = registry
        self._instruments = instruments.acquire(
            registry, chosen.service, chosen.service_version, chosen.max_series
        )
        self._routes = Routes(app)
        self._worker = shared(registry, f"{chosen.service} {chosen.metrics_path}")
        self._endpoint = (
            Endpoint(chosen.metrics_path, chosen.metrics_token, self._worker.gather)
            if chosen.metrics_path is not None
            else None
        )
        self._app = ref(app)
        # FastAPI's own settings of telemetry, if tracing was switched off there.
        self._native: dict[str, Any] | None = None
        self._pass: Pass | None = None
        self._host: Host | None = None
        self._active = True
        self._build: Callable[[], Any] = app.build_middleware_stack
        app.build_middleware_stack = self._built
        if app.middleware_stack is not None:  # it has started already
            app.middleware_stack = self._around(app.middleware_stack)

    def _built(self) -> Any:
        """Stand in for the application's own ``build_middleware_stack``."""
        stack = self._build()
        if not self._active:
            return stack
        if contrib.stands_around(self._app(), self._build) and hasattr(stack, "app"):
            # That package gives up where the outermost layer is not Starlette's own.
            stack.app = self._around(stack.app)
            stack.app.inside = True
            return stack
        return self._around(stack)

    def _around(self, stack: Any) -> Pass:
        chosen = self.settings
        tracing = None
        if chosen.tracing != "off" and (
            has_endpoint(os.environ) or "opentelemetry.trace" in sys.modules
        ):
            from gnomon import tracing as tracer  # noqa: PLC0415  # it imports OpenTelemetry

            native = getattr(self._app(), "_telemetry", None)
            before = native.get("tracing") if isinstance(native, dict) else None
            tracing = tracer.tracing(self._app(), stack, chosen)
            if isinstance(native, dict) and native.get("tracing") != before:
                self._native = native
        usual = chosen.exclude == HEALTH  # for which a set of paths does, at less cost
        self._pass = Pass(
            stack,
            tracing=tracing,
            worker=self._worker,
            instruments=self._instruments,
            routes=self._routes,
            endpoint=self._endpoint,
            aside=HEALTH_PATHS if usual else frozenset(),
            exclude=re.compile("|".join(f"(?:{p})" for p in chosen.exclude))
            if chosen.exclude and not usual
            else None,
            streams=chosen.streams,
        )
        router = getattr(self._app(), "router", None)
        self._host = Host(self._pass, router, wanted=chosen.usage)
        return self._pass

    def undo(self, app: Any) -> None:
        """Leave the application as if it had never been instrumented."""
        self._active = False
        if self._pass is not None:
            # Another instrumentation may stand around ours: then it stays and lets through.
            self._pass.disable()
            if self._host is not None:
                self._host.undo()
            if app.middleware_stack is self._pass:
                app.middleware_stack = self._pass.app
        if app.__dict__.get("build_middleware_stack") == self._built:
            if getattr(self._build, "__func__", None) is type(app).build_middleware_stack:
                del app.build_middleware_stack
            else:
                app.build_middleware_stack = self._build
        if self._native is not None:
            self._native["tracing"] = True
        instruments.release(self.registry)


_instrumented: WeakKeyDictionary[Any, _Instrumented] = WeakKeyDictionary()


def instrument(
    app: Starlette,
    *,
    service: str | None = None,
    service_version: str | None = None,
    registry: CollectorRegistry = REGISTRY,
    metrics_path: str | None = "/metrics",
    metrics_token: str | None = None,
    exclude: Iterable[str] | None = None,
    streams: Iterable[str] = (),
    max_series: int = 2000,
    tracing: Tracing | None = None,
    sample_ratio: float | None = None,
    usage: bool = False,
) -> None:
    """Measure every request of a FastAPI or Starlette application.

    May be called before or after routes are added; applications mounted below are measured with
    it. A second call on the same application changes nothing. Nothing that it does on a request
    raises into the application.

    service: the service's name; else OTEL_SERVICE_NAME, else ``service.name`` in
    OTEL_RESOURCE_ATTRIBUTES, else ``unknown_service``.
    service_version: its version; else ``service.version`` in OTEL_RESOURCE_ATTRIBUTES.
    registry: where the families are registered; prometheus-client's default one also has what
    the application itself counts.
    metrics_path: where the page of metrics is served, None for nowhere. It answers loopback and
    private networks, and only requests without forwarding headers; all others need the token.
    metrics_token: the bearer token that grants the page to anyone; else GNOMON_METRICS_TOKEN, or
    the content of the file that GNOMON_METRICS_TOKEN_FILE names.
    exclude: regular expressions; a path in which one is found is neither measured nor traced.
    Else OTEL_PYTHON_FASTAPI_EXCLUDED_URLS or OTEL_PYTHON_EXCLUDED_URLS, separated by commas;
    else the usual health checks' paths.
    streams: templates of routes whose responses are streams, for which the time to the first
    byte counts as duration, besides those that the media type tells (server-sent events and JSON
    lines).
    max_series: most label combinations of one family; what is beyond goes into one series whose
    labels are ``_OVERFLOW``, and is counted in ``gnomon_series_overflow_total``.
    tracing: ``gnomon`` for its own light server span, ``opentelemetry`` to leave spans to
    opentelemetry-instrumentation-fastapi, ``off`` for none; else ``gnomon``, unless
    OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER say otherwise.
    sample_ratio: share of new traces that are recorded, from 0 to 1; else
    OTEL_TRACES_SAMPLER_ARG, else 1.
    usage: count each request's own CPU seconds from the first request on. Else that begins when
    ``gnomon.measure`` is first used, and the request that uses it first is not told its own.

    Raises TypeError if ``app`` is no Starlette application, ValueError for a setting that cannot
    be right.
    """
    if not callable(getattr(app, "build_middleware_stack", None)):
        raise TypeError(
            f"gnomon.instrument takes a FastAPI or Starlette application, not {type(app).__name__}:"
            " call it before the application is wrapped in other middleware"
        )
    chosen = settings(
        service=service,
        service_version=service_version,
        metrics_path=metrics_path,
        metrics_token=metrics_token,
        exclude=exclude,
        streams=streams,
        max_series=max_series,
        tracing=tracing,
        sample_ratio=sample_ratio,
        usage=usage,
    )
    if chosen.tracing == "opentelemetry":
        contrib.check()
    elif chosen.tracing == "gnomon" and has_endpoint(os.environ):
        require("opentelemetry.sdk.trace", "fastapi")
    present = _instrumented.get(app)
    if present is not None:
        if present.settings != chosen or present.registry is not registry:
            log.warning("gnomon.instrument: the application keeps the settings of the first call")
        return
    if chosen.tracing == "opentelemetry":
        contrib.instrument(app, chosen)
    _instrumented[app] = _Instrumented(app, chosen, registry)


def uninstrument(app: Starlette) -> None:
    """Undo ``instrument``; nothing happens to an application that is not instrumented.

    Requests under way are measured to their end. The families leave the registry with the last
    application that wrote into them.
    """
    present = _instrumented.pop(app, None)
    if present is not None:
        present.undo(app)
        if present.settings.tracing == "opentelemetry":
            contrib.uninstrument(app)
