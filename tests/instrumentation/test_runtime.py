"""The process from inside."""

import asyncio
import gc
import logging
import subprocess
import sys
import time

import httpx
from fastapi import FastAPI

import gnomon


def test_a_blocked_loop_shows_as_lag(registry, serve, counted, until):
    """A handler that holds the event loop for 0.6 s makes it late by about that."""
    app = FastAPI()

    @app.get("/blocks")
    async def blocks():
        time.sleep(0.6)  # noqa: ASYNC251  # that is the point

    gnomon.instrument(app, registry=registry)
    bucket = "gnomon_event_loop_lag_seconds_bucket"
    address = serve(app)
    until(lambda: counted("gnomon_event_loop_lag_seconds_count") > 0)
    late = counted(bucket, le="+Inf") - counted(bucket, le="0.25")
    httpx.get(f"http://{address}/blocks")
    until(lambda: counted(bucket, le="+Inf") - counted(bucket, le="0.25") > late)


def test_collections_tasks_threads_and_memory_are_there(registry, serve, value):
    """Pauses of the garbage collector count by generation, and the process tells of itself."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    before = value("gnomon_gc_pause_seconds_count", generation="2") or 0
    gc.collect()
    assert value("gnomon_gc_pause_seconds_count", generation="2") == before + 1
    serve(app)
    assert value("gnomon_event_loop_tasks") >= 1
    assert value("gnomon_threads") >= 2
    assert value("process_resident_memory_bytes") > 1e6
    assert value("process_open_fds") > 1


def test_nothing_stays_behind():
    """After uninstrument there is no callback at the collector and no record factory of ours."""
    code = """
import gc, logging
from fastapi import FastAPI
import gnomon
app = FastAPI()
before = list(gc.callbacks), logging.getLogRecordFactory()
gnomon.instrument(app)
assert (list(gc.callbacks), logging.getLogRecordFactory()) != before
gnomon.uninstrument(app)
assert (list(gc.callbacks), logging.getLogRecordFactory()) == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_log_records_carry_the_trace(registry, caplog):
    """Inside a span a record has its ids, outside of one it has empty texts."""
    from opentelemetry import trace
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

    app = FastAPI()
    gnomon.instrument(app, registry=registry)
    log = logging.getLogger("application")
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))
    log.warning("outside")
    with trace.use_span(span):
        log.warning("inside")
        event = gnomon.add_trace_ids(None, "info", {})
    outside, inside = caplog.records[-2:]
    assert (outside.trace_id, outside.span_id) == ("", "")
    assert (inside.trace_id, inside.span_id) == (f"{1:032x}", f"{2:016x}")
    assert inside.trace_sampled is True
    assert event == {"trace_id": f"{1:032x}", "span_id": f"{2:016x}"}
    assert gnomon.add_trace_ids(None, "info", {}) == {}
    gnomon.uninstrument(app)


def test_the_loops_watcher_ends_with_the_application(registry):
    """At shutdown no task of ours is left in the loop."""
    app = FastAPI()
    gnomon.instrument(app, registry=registry)

    async def run():
        async with app.router.lifespan_context(app):
            pass
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        seen = []

        async def receive():
            return next(messages)

        async def send(message):
            if message["type"] == "lifespan.startup.complete":
                seen.append(len(asyncio.all_tasks()))
            await asyncio.sleep(0)

        await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)
        await asyncio.sleep(0)
        return seen[0] - len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1
    gnomon.uninstrument(app)
