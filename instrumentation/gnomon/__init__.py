"""Instrument a Python application: metrics, traces and the resource use of a piece of work."""

from gnomon.instrumenting import instrument, uninstrument
from gnomon.logs import add_trace_ids
from gnomon.websockets import heartbeat_expired, subscribed, unsubscribed

__all__ = [
    "add_trace_ids",
    "heartbeat_expired",
    "instrument",
    "subscribed",
    "uninstrument",
    "unsubscribed",
]
