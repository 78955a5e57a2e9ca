"""A span of the SDK's of which only what somebody asks for is made: that of a request.

Most requests' spans get a few attributes from this package and nothing from anybody else. For each
of them the SDK makes two bounded lists, a bounded dictionary, four locks and, at the end, a copy:
three times what the rest of a request's tracing takes, and as much again where they wait to be
exported, in garbage collections and in the processor's caches.
"""
# ruff: noqa: SLF001  # what is private to the SDK's spans is what this is about; `suits` examines it

from __future__ import annotations

import os
import threading
from time import time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace as sdk
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, SpanKind, Status, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link

#: What a span of the SDK's consists of, as far as this module knows.
_PARTS = frozenset(
    {
        "_attributes",
        "_context",
        "_end_time",
        "_events",
        "_instrumentation_info",
        "_instrumentation_scope",
        "_kind",
        "_limits",
        "_links",
        "_lock",
        "_name",
        "_parent",
        "_record_end_metrics",
        "_record_exception",
        "_resource",
        "_sampler",
        "_set_status_on_exception",
        "_span_processor",
        "_start_time",
        "_status",
        "_trace_config",
    }
)

#: What a span has to have room for, or it matters how many attributes are ours.
_ROOM = 64

_RANDOM = getattr(TraceFlags, "RANDOM_TRACE_ID", 0)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SAMPLED_RANDOM = TraceFlags(TraceFlags.SAMPLED | _RANDOM)

_making = threading.Lock()


def suits(tracer: Any) -> bool:
    """Whether a tracer's spans can be light ones.

    They cannot if the SDK's are not as this module knows them, if the values of attributes or
    their number are limited closely, or if the SDK is to count its spans itself.
    """
    if type(tracer) is not sdk.Tracer or os.environ.get("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"):
        return False
    try:
        limits: Any = tracer._span_limits
        most, longest = limits.max_span_attributes, limits.max_span_attribute_length
        span: Any = sdk._Span("", INVALID_SPAN_CONTEXT, resource=tracer.resource, limits=limits)
        return (
            vars(span).keys() <= _PARTS
            and isinstance(vars(span._attributes)["_dict"], dict)
            and {"instrumentation_info", "_instrumentation_scope"} <= vars(tracer).keys()
            and hasattr(tracer.span_processor, "_on_ending")
            and longest is None
            and (most is None or most >= _ROOM)
        )
    except Exception:
        return False


class _Late:
    """A part of a span that is made when it is asked for."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self.place = f"{name}_made"

    def __get__(self, span: Any, owner: type) -> Any:
        made = getattr(span, self.place)
        if made is None:
            with _making:
                made = getattr(span, self.place)
                if made is None:
                    made = self._make(span)
                    setattr(span, self.place, made)
        return made


def _bounded(span: LightSpan) -> BoundedAttributes:
    made = BoundedAttributes(span._limits.max_span_attributes, immutable=False)
    made._dict.update(span.told)
    made._immutable = span._end_time is not None
    return made


class LightSpan(sdk.Span):
    """A server span that is recorded and sampled; it starts when it is made.

    tracer: one that suits. told: attributes, with names and values as they have to be; they are
    the span's from here on. parent: the context that it starts in; above: the span context in
    that, None if the span begins a trace.
    """

    _end_time: int | None = None
    _kind = SpanKind.SERVER
    _record_end_metrics = None
    _record_exception = _set_status_on_exception = True
    _status = Status()
    _trace_config = None

    _lock = _Late(lambda _: threading.Lock())
    _attributes = _Late(_bounded)
    _events = _Late(lambda span: span._new_events())
    _links = _Late(lambda span: span._new_links(()))
    _lock_made: Any = None
    _attributes_made: Any = None
    _events_made: Any = None
    _links_made: Any = None

    # What the SDK copies from a tracer into each of its spans.
    _instrumentation_info = property(lambda span: span._tracer.instrumentation_info)
    _instrumentation_scope = property(lambda span: span._tracer._instrumentation_scope)
    _limits = property(lambda span: span._tracer._span_limits)
    _sampler = property(lambda span: span._tracer.sampler)
    _span_processor = property(lambda span: span._tracer.span_processor)

    def __init__(
        self,
        tracer: Any,
        name: str,
        ids: tuple[int, int],
        *,
        told: dict[str, Any],
        parent: Context,
        above: SpanContext | None,
    ) -> None:
        if above is None:
            self._context = SpanContext(*ids, False, _SAMPLED_RANDOM)
        else:
            flags = _SAMPLED_RANDOM if above.trace_flags & _RANDOM else _SAMPLED
            self._context = SpanContext(*ids, False, flags, above.trace_state)
        self._tracer = tracer
        self._resource = tracer.resource  # now, for a fork gives the tracer another one
        self._name = name
        self._parent = above
        self.told = told
        self._start_time = time_ns()
        tracer.span_processor.on_start(self, parent_context=parent)

    def finish(self, name: str, told: dict[str, Any]) -> None:
        """End it, unless that has been done. name: "" for the one that it has; told: as above."""
        if self._end_time is None:
            if name:
                self._name = name
            made = self._attributes_made
            (self.told if made is None else made._dict).update(told)
            self.end()

    def end(self, end_time: int | None = None) -> None:
        """End it, as the SDK does, and hand it on itself: nothing changes it any more."""
        if self._end_time is not None:
            super().end(end_time)  # which says that it has ended
            return
        self._end_time = time_ns() if end_time is None else end_time
        if self._attributes_made is not None:
            self._attributes_made._immutable = True
        processor = self._tracer.span_processor
        processor._on_ending(self)
        processor.on_end(self)

    @property
    def is_eventful(self) -> bool:
        """Whether it may have events, links, or attributes that were too many."""
        return not (self._attributes_made is self._events_made is self._links_made is None)

    # Nothing is made to be read.

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes."""
        made = self._attributes_made
        return MappingProxyType(self.told if made is None else made)

    @property
    def events(self) -> Sequence[sdk.Event]:
        """Its events."""
        return () if self._events_made is None else super().events

    @property
    def links(self) -> Sequence[Link]:
        """Its links."""
        return () if self._links_made is None else super().links

    @property
    def dropped_attributes(self) -> int:
        """How many of them were too many."""
        return 0 if self._attributes_made is None else super().dropped_attributes

    @property
    def dropped_events(self) -> int:
        """How many of them were too many."""
        return 0 if self._events_made is None else super().dropped_events

    @property
    def dropped_links(self) -> int:
        """How many of them were too many."""
        return 0 if self._links_made is None else super().dropped_links
