"""Server spans by opentelemetry-instrumentation-fastapi, for those who choose it."""

from typing import Any

from gnomon.extras import require
from gnomon.settings import Settings

_PACKAGE = "opentelemetry.instrumentation.fastapi"
_EXTRA = "opentelemetry"


def check() -> None:
    """Raise RuntimeError, with the extra's name, if the package is missing."""
    require(_PACKAGE, _EXTRA)
    require("opentelemetry.sdk.trace", "fastapi")


def instrument(app: Any, settings: Settings) -> None:
    """Let the package make one span of each request, none of each message."""
    from gnomon.providers import provider  # noqa: PLC0415  # it imports OpenTelemetry's SDK

    own = provider(settings)
    native = getattr(app, "_telemetry", None)
    if isinstance(native, dict) and native.get("tracer_provider") is None:
        native["tracing"] = False  # FastAPI's own span would be a second one
    require(_PACKAGE, _EXTRA).FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=own.provider if own is not None else None,
        excluded_urls=",".join(settings.exclude) or None,
        exclude_spans=["send", "receive"],
    )


def stands_around(app: Any, build: Any) -> bool:
    """Whether the package was put around an application after gnomon.

    build: the application's ``build_middleware_stack`` as gnomon found it.
    """
    return bool(getattr(app, "_is_instrumented_by_opentelemetry", False)) and (
        getattr(build, "__func__", None) is type(app).build_middleware_stack
    )


def uninstrument(app: Any) -> None:
    """Undo ``instrument``."""
    require(_PACKAGE, _EXTRA).FastAPIInstrumentor.uninstrument_app(app)
    native = getattr(app, "_telemetry", None)
    if isinstance(native, dict) and native.get("tracer_provider") is None:
        native["tracing"] = True
