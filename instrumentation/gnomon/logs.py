"""Log records carry the ids of the trace that they were written in."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

_factory: Callable[..., logging.LogRecord] | None = None


def install() -> None:
    """Give each record ``trace_id``, ``span_id`` and ``trace_sampled``; "" outside of a trace."""
    global _factory  # noqa: PLW0603  # what there was, to put back
    if _factory is None:
        _factory = logging.getLogRecordFactory()
        logging.setLogRecordFactory(_record)


def uninstall() -> None:
    """Put back what there was, unless another factory has been put around since."""
    global _factory  # noqa: PLW0603
    if _factory is not None and logging.getLogRecordFactory() is _record:
        logging.setLogRecordFactory(_factory)
        _factory = None


def _record(*args: Any, **options: Any) -> logging.LogRecord:
    record = (_factory or logging.LogRecord)(*args, **options)
    record.trace_id, record.span_id, record.trace_sampled = ids()
    return record


def ids() -> tuple[str, str, bool]:
    """Return the current trace's and span's ids, "" outside of a trace; whether it is sampled."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return "", "", False
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return "", "", False
    return (
        trace.format_trace_id(context.trace_id),
        trace.format_span_id(context.span_id),
        bool(context.trace_flags.sampled),
    )


def add_trace_ids(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Add ``trace_id`` and ``span_id`` to a structlog event inside a trace: a processor.

    ``structlog.configure(processors=[gnomon.add_trace_ids, …])``
    """
    trace_id, span_id, _ = ids()
    if trace_id:
        event["trace_id"], event["span_id"] = trace_id, span_id
    return event
