"""Instrument a Python application: metrics, traces and the resource use of a piece of work."""

from importlib import import_module
from typing import TYPE_CHECKING

from gnomon.instrumenting import instrument, uninstrument
from gnomon.logs import add_trace_ids
from gnomon.websockets import heartbeat_expired, subscribed, unsubscribed

if TYPE_CHECKING:
    from gnomon.batches import gather
    from gnomon.functions import timed

__all__ = [
    "add_trace_ids",
    "gather",
    "heartbeat_expired",
    "instrument",
    "subscribed",
    "timed",
    "uninstrument",
    "unsubscribed",
]

#: What is imported when it is first used, and from where: each has a cost that not all need.
_LATE = {
    "gather": "gnomon.batches",
    "timed": "gnomon.functions",
}


def __getattr__(name: str) -> object:
    """Import what is used for the first time."""
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module 'gnomon' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(module), name)
    return found
