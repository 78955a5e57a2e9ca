"""The trace that is current, for what may run without OpenTelemetry: then there is none.

Nothing here imports OpenTelemetry: a process in which nobody has done so has no spans.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gnomon import guard
from gnomon.errors import error_type
from gnomon.identity import version

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The fields of W3C's trace context.
_FIELDS = ("traceparent", "tracestate")

_ODD = frozenset("13579bdf")


def exemplar() -> dict[str, str] | None:
    """Return the ids of the span that is current, None if there is none or it is not sampled."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.trace_flags.sampled:
        return None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def trace_headers() -> dict[str, str]:
    """Return the current trace as headers of W3C's trace context; empty outside of a trace.

    Whoever gives them along with a job lets the job continue the trace:
    ``queue.enqueue(work, meta=gnomon.trace_headers())`` with RQ,
    ``work.apply_async(headers=gnomon.trace_headers())`` with Celery; ``gnomon.job`` finds them
    there. With OpenTelemetry's own instrumentation of Celery nothing has to be given. Never
    raises.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    try:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        ids = f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
        found = {"traceparent": f"00-{ids}-{context.trace_flags & 0xFF:02x}"}
        if context.trace_state:
            found["tracestate"] = context.trace_state.to_header()
    except Exception:
        guard.failed("trace headers")
        return {}
    return found


def kept(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return what of some headers is of W3C's trace context."""
    return {field: headers[field][:512] for field in _FIELDS if isinstance(headers.get(field), str)}


class Continued:
    """Makes a submitter's trace current between ``enter`` and ``leave``, in the same context.

    headers: as ``trace_headers`` gave them; nothing happens without any, or if a span of that
    trace is current already. One of another trace is not: a worker that a request began long ago
    is no part of that request. Neither raises.
    """

    __slots__ = ("_headers", "_token")

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._token: Any = None

    def enter(self) -> None:
        """Make it current."""
        trace = sys.modules.get("opentelemetry.trace")
        if trace is None or not self._headers:
            return
        try:
            current = trace.get_current_span().get_span_context()
            if current.is_valid and trace.format_trace_id(current.trace_id) in (
                self._headers.get("traceparent", "")
            ):
                return  # somebody has continued it already
            from opentelemetry import context  # noqa: PLC0415  # it is here: see above
            from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
                TraceContextTextMapPropagator,
            )

            found = TraceContextTextMapPropagator().extract(self._headers, context.get_current())
            self._token = context.attach(found)
        except Exception:
            guard.failed("trace of a submitter")

    def leave(self) -> None:
        """Make current what was so before."""
        if self._token is not None:
            try:
                from opentelemetry import context  # noqa: PLC0415

                context.detach(self._token)
            except Exception:
                guard.failed("trace of a submitter")
            self._token = None


def sampled(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return the ids in a sampled trace's headers, as an exemplar's labels; else None."""
    parts = headers.get("traceparent", "").split("-")
    if len(parts) == 4 and parts[3][-1:] in _ODD:  # the lowest bit of the flags
        return {"trace_id": parts[1], "span_id": parts[2]}
    return None


class Span:
    """A span of OpenTelemetry's around a block, or nothing where nobody imported OpenTelemetry.

    None of its methods raises.
    """

    __slots__ = ("_span", "_token")

    def __init__(self) -> None:
        self._span: Any = None
        self._token: Any = None

    def enter(self, name: str, attributes: Mapping[str, str], *, consumer: bool = False) -> None:
        """Start it below what is current, and make it current.

        consumer: it works on what somebody has put into a queue, and does not wait for the end.
        """
        trace = sys.modules.get("opentelemetry.trace")
        if trace is None:
            return
        try:
            from opentelemetry import context  # noqa: PLC0415  # it is here: see above

            kind = trace.SpanKind.CONSUMER if consumer else trace.SpanKind.INTERNAL
            span = trace.get_tracer("gnomon", version()).start_span(
                name, kind=kind, attributes=attributes
            )
            # Without a provider this is the parent, or nothing at all.
            if span.is_recording():
                self._token = context.attach(trace.set_span_in_context(span))
                self._span = span
        except Exception:
            guard.failed("span")

    def leave(
        self, attributes: Mapping[str, str], error: BaseException | None, *, failed: bool = False
    ) -> None:
        """End it.

        error: what ended the block with a failure; its text is not recorded. failed: that it was
        one, where no exception says so.
        """
        span = self._span
        if span is None:
            return
        self._span = None
        try:
            from opentelemetry import context  # noqa: PLC0415
            from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

            span.set_attributes(attributes)
            if error is not None:
                span.set_attribute("error.type", error_type(error))
            if failed or error is not None:
                span.set_status(Status(StatusCode.ERROR))
            span.end()
            context.detach(self._token)
        except Exception:
            guard.failed("span")
