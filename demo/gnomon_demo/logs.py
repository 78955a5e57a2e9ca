"""The demo's log: a line for each thing that happened, with the ids of the trace it is part of."""

import logging
import os
import warnings

#: `gnomon.instrument` gives every record these ids; they are empty outside of a trace.
FORMAT = "%(asctime)s %(levelname)s %(name)s trace_id=%(trace_id)s span_id=%(span_id)s %(message)s"


def begin(service: str) -> None:
    """Write the demo's records to standard error; what others log stays as it is.

    With OTEL_LOGS_EXPORTER=otlp they go, as this service's, to where its traces go, too.
    """
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter(FORMAT, defaults={"trace_id": "", "span_id": ""}))
    ours = logging.getLogger("gnomon_demo")
    ours.handlers[:] = [shown]
    if os.environ.get("OTEL_LOGS_EXPORTER", "").strip() == "otlp":
        ours.addHandler(_sent(service))
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _sent(service: str) -> logging.Handler:
    """Return what sends records by OTLP, from a thread of its own."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415
        OTLPLogExporter,
    )
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler  # noqa: PLC0415
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    provider = LoggerProvider(resource=Resource.create({"service.name": service}))
    provider.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(), schedule_delay_millis=1000)
    )
    with warnings.catch_warnings():
        # It moves to a package of its own, some day.
        warnings.simplefilter("ignore", DeprecationWarning)
        return LoggingHandler(logger_provider=provider)
