"""Log records as OTLP says them, each below the span that it was written in.

The store keeps one as a span of the kind ``LOG`` that takes no time: so it is bounded, and goes,
with the spans that came when it did. What was written outside of a trace has no place here.
"""

import json
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from gnomon_console.traces.spans import (
    LAST_NS,
    LOG,
    LONGEST,
    Event,
    Span,
    attributes_of,
    parse,
    value_of,
)

#: OTLP's numbers for severities, four for each word.
_WORDS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")

#: From this number on somebody called it an error.
_ERROR = 17


def decoded(body: bytes, *, as_json: bool) -> list[Span]:
    """Return the log records of an OTLP request that were written in a span.

    Raise ValueError for what is no such request.
    """
    request = ExportLogsServiceRequest()
    parse(body, request, as_json=as_json)
    return list(_records(request))


def _records(request: ExportLogsServiceRequest) -> Iterator[Span]:
    for group in request.resource_logs:
        service = str(attributes_of(group.resource.attributes).get("service.name", "unknown"))
        for scope in group.scope_logs:
            for sent in scope.log_records:
                if len(sent.trace_id) != 16 or len(sent.span_id) != 8:
                    continue
                at = min(sent.time_unix_nano or sent.observed_time_unix_nano, LAST_NS)
                number = sent.severity_number
                word = _WORDS[(number - 1) // 4] if 0 < number <= 24 else ""
                severity = {"severity": sent.severity_text[:LONGEST] or word}
                logger = {"logger": scope.scope.name[:LONGEST]} if scope.scope.name else {}
                yield Span(
                    trace_id=sent.trace_id.hex(),
                    span_id=sent.span_id.hex(),
                    parent="",
                    service=service[:LONGEST],
                    name=_text(value_of(sent.body))[:LONGEST],
                    kind=LOG,
                    start=at,
                    end=at,
                    failed=number >= _ERROR,
                    attributes={**attributes_of(sent.attributes), **severity, **logger},
                    resource={},
                    events=(),
                )


def _text(body: Any) -> str:
    if body is None:
        return ""
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)


def as_event(record: Span) -> Event:
    """Return a record as what happened within its span, as events are shown."""
    return Event(record.start, record.name, record.attributes)
