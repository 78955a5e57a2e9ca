"""Finished spans on their way out: a bounded queue that never blocks whoever ends a span."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, set_value
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult

from gnomon import guard
from gnomon.families import AnyFamily, Counters
from gnomon.redaction import clean

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger("gnomon")


class SpanFamilies:
    """What became of the spans of this process."""

    def __init__(self) -> None:
        self.exported = Counters(
            "gnomon_spans_exported", "Spans that the backend has taken.", (), 1
        )
        self.dropped = Counters(
            "gnomon_spans_dropped",
            "Spans that were lost, by reason: queue_full, export_failed or shutdown.",
            ("reason",),
            8,
        )
        self.exported.child()
        for reason in ("queue_full", "export_failed", "shutdown"):
            self.dropped.child(reason)

    def families(self) -> tuple[AnyFamily, ...]:
        """Return all families."""
        return (self.exported, self.dropped)


#: One for the process, for its tracer providers are the process's.
families = SpanFamilies()


class SpanQueue(SpanProcessor):
    """Hands spans to an exporter in batches, from a thread of its own.

    What does not fit is dropped and counted; so is what is left when there is no more time at
    the end. The SDK's own processor waits for half a minute then, and counts for itself.

    size: most spans that wait. batch: most that are exported at once. delay: seconds that a span
    waits at most. patience: seconds that ``shutdown`` takes at most.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        size: int = 2048,
        batch: int = 512,
        delay: float = 5.0,
        patience: float = 2.0,
    ) -> None:
        self._exporter = exporter
        self._size = size
        self._batch = min(batch, size)
        self._delay = delay
        self._patience = patience
        self._queue: deque[ReadableSpan] = deque()
        self._awake = threading.Event()
        self._stopping = False
        self._exporting = self._flushing = False
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._starting = threading.Lock()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Take no notice of a span's start."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that was sampled."""
        if not span.context.trace_flags.sampled:
            return
        if self._pid != os.getpid():
            self._start()
        queue = self._queue
        if len(queue) >= self._size or self._stopping:
            families.dropped.child("shutdown" if self._stopping else "queue_full").inc()
            return
        queue.append(span)
        if len(queue) >= self._batch and not self._awake.is_set():
            self._awake.set()

    def _start(self) -> None:
        """Start the thread in the process that it is needed in: a fork takes none along."""
        with self._starting:
            if self._pid == os.getpid():
                return
            if self._pid:  # what waited at the fork is the parent's to export
                self._queue = deque()
                self._awake = threading.Event()
            self._pid = os.getpid()
            self._thread = threading.Thread(target=self._run, name="gnomon spans", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        # The exporter's own requests are no calls of the application.
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while True:
            woken = self._awake.wait(self._delay)
            self._awake.clear()
            stopping = self._stopping  # read before: what comes after it is told to drop
            everything = stopping or self._flushing or not woken
            self._flushing = False
            # Under load a batch fills while the one before it is sent. What is less than a batch
            # waits on then: each export costs as much as a hundred spans.
            self._export(1 if everything else self._batch)
            if stopping:
                return

    def _export(self, least: int) -> None:
        """Export batch after batch until fewer spans than that are left."""
        while len(self._queue) >= least:
            self._exporting = True
            taken: list[ReadableSpan] = []
            while self._queue and len(taken) < self._batch:
                taken.append(clean(self._queue.popleft()))
            try:
                done = self._exporter.export(taken) is SpanExportResult.SUCCESS
            except Exception:
                guard.failed("span export")
                done = False
            if done:
                families.exported.child().inc(len(taken))
            else:
                families.dropped.child("export_failed").inc(len(taken))
        self._exporting = False

    def shutdown(self) -> None:
        """Export what waits, within the patience; what does not go out by then is dropped."""
        if self._stopping:
            return
        self._stopping = True
        self._awake.set()
        thread = self._thread
        if thread is None or self._pid != os.getpid():
            return
        until = time.monotonic() + self._patience
        thread.join(self._patience)
        if thread.is_alive():
            left = len(self._queue)
            self._queue.clear()
            families.dropped.child("shutdown").inc(left)
            log.warning("the tracing backend does not answer: %d or more spans are lost", left)
        if time.monotonic() < until:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what waits; return whether everything had gone within the time, in ms."""
        self._flushing = True
        self._awake.set()
        until = time.monotonic() + timeout_millis / 1000
        while (self._queue or self._exporting) and time.monotonic() < until:
            time.sleep(0.005)
        return not self._queue
