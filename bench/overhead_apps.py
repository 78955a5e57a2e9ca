"""The application whose requests ``request_overhead.py`` measures, bare and under each contender.

Each function makes one, as uvicorn's ``--factory`` wants it, and imports nothing that the others
need. Names, endpoint and sampler come from the usual OTEL_* variables.
"""

import os

from fastapi import FastAPI


def bare() -> FastAPI:
    """Return the application with no instrumentation: one route, one template, a JSON answer."""
    app = FastAPI()

    @app.get("/orders/{number}")
    async def order(number: int, currency: str = "EUR") -> dict[str, int | str]:
        return {"number": number, "currency": currency}

    return app


def gnomon() -> FastAPI:
    """Return it with this package's instrumentation; traced unless OTEL_TRACES_EXPORTER is none."""
    from gnomon import instrument  # noqa: PLC0415

    app = bare()
    instrument(app, service=os.environ["OTEL_SERVICE_NAME"])
    return app


def instrumentator() -> FastAPI:
    """Return it with prometheus-fastapi-instrumentator."""
    from prometheus_fastapi_instrumentator import Instrumentator  # noqa: PLC0415

    app = bare()
    Instrumentator().instrument(app).expose(app)
    return app


def starlette_exporter() -> FastAPI:
    """Return it with starlette_exporter, which needs to be told to use templates for paths."""
    from starlette_exporter import PrometheusMiddleware, handle_metrics  # noqa: PLC0415

    app = bare()
    app.add_middleware(PrometheusMiddleware, group_paths=True)
    app.add_route("/metrics", handle_metrics)
    return app


def opentelemetry() -> FastAPI:
    """Return it with OpenTelemetry's own instrumentation, spans of send and receive left out."""
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    app = bare()
    FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])
    return app
