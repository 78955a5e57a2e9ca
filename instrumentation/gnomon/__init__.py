"""Instrument a Python application: metrics, traces and the resource use of a piece of work."""

from importlib import import_module
from typing import TYPE_CHECKING

from gnomon.instrumenting import instrument, uninstrument
from gnomon.logs import add_trace_ids
from gnomon.websockets import heartbeat_expired, subscribed, unsubscribed

if TYPE_CHECKING:
    from gnomon.batches import gather
    from gnomon.caches.decorator import cached
    from gnomon.caches.watched import watch_cache
    from gnomon.databases import unwatch_engine, watch_engine
    from gnomon.exposing import expose
    from gnomon.functions import timed
    from gnomon.jobs import current_run, job
    from gnomon.limiters import refused, watch_limiter
    from gnomon.outgoing.attempts import attempts
    from gnomon.queues import Taken, take, watch_queue
    from gnomon.relief import MemoryGuard, memory_guard
    from gnomon.traces import trace_headers
    from gnomon.usage.ledger import counted, to_thread
    from gnomon.usage.measuring import measure
    from gnomon.usage.piece import Own, Usage, current_usage
    from gnomon.vitals import web_vitals

__all__ = [
    "MemoryGuard",
    "Own",
    "Taken",
    "Usage",
    "add_trace_ids",
    "attempts",
    "cached",
    "counted",
    "current_run",
    "current_usage",
    "expose",
    "gather",
    "heartbeat_expired",
    "instrument",
    "job",
    "measure",
    "memory_guard",
    "refused",
    "subscribed",
    "take",
    "timed",
    "to_thread",
    "trace_headers",
    "uninstrument",
    "unsubscribed",
    "unwatch_engine",
    "watch_cache",
    "watch_engine",
    "watch_limiter",
    "watch_queue",
    "web_vitals",
]

#: What is imported when it is first used, and from where: each has a cost that not all need.
_LATE = {
    "MemoryGuard": "gnomon.relief",
    "Own": "gnomon.usage.piece",
    "Taken": "gnomon.queues",
    "Usage": "gnomon.usage.piece",
    "attempts": "gnomon.outgoing.attempts",
    "cached": "gnomon.caches.decorator",
    "counted": "gnomon.usage.ledger",
    "current_run": "gnomon.jobs",
    "current_usage": "gnomon.usage.piece",
    "expose": "gnomon.exposing",
    "gather": "gnomon.batches",
    "job": "gnomon.jobs",
    "measure": "gnomon.usage.measuring",
    "memory_guard": "gnomon.relief",
    "refused": "gnomon.limiters",
    "take": "gnomon.queues",
    "timed": "gnomon.functions",
    "to_thread": "gnomon.usage.ledger",
    "trace_headers": "gnomon.traces",
    "unwatch_engine": "gnomon.databases",
    "watch_cache": "gnomon.caches.watched",
    "watch_engine": "gnomon.databases",
    "watch_limiter": "gnomon.limiters",
    "watch_queue": "gnomon.queues",
    "web_vitals": "gnomon.vitals",
}


def __getattr__(name: str) -> object:
    """Import what is used for the first time."""
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module 'gnomon' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(module), name)
    return found
