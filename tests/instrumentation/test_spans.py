"""Finished spans on their way out."""

import threading

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from gnomon.spans import SpanQueue


class Slow(SpanExporter):
    """An exporter that says how many spans it got at once, and waits until it may go on."""

    def __init__(self):
        self.sizes = []
        self.may = threading.Event()

    def export(self, spans):
        self.sizes.append(len(spans))
        assert self.may.wait(60)
        return SpanExportResult.SUCCESS


@pytest.fixture
def exporter():
    """Give one; let it go at the end."""
    exporter = Slow()
    yield exporter
    exporter.may.set()


def tracer(queue):
    """Give a tracer whose spans go into a queue."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    return provider.get_tracer("any")


def end(tracer, count):
    """End some spans."""
    for _ in range(count):
        tracer.start_span("a").end()


def test_batches_are_whole_under_load(exporter, until):
    """What came during an export waits for its batch to fill, or for a flush."""
    queue = SpanQueue(exporter, size=100, batch=4, delay=600)
    ending = tracer(queue)
    end(ending, 4)
    until(lambda: exporter.sizes == [4], 30)
    end(ending, 6)
    exporter.may.set()
    until(lambda: exporter.sizes == [4, 4], 30)
    end(ending, 2)
    until(lambda: exporter.sizes == [4, 4, 4], 30)
    end(ending, 1)
    assert queue.force_flush(30_000)
    assert exporter.sizes == [4, 4, 4, 1]
    end(ending, 3)
    queue.shutdown()
    assert exporter.sizes == [4, 4, 4, 1, 3]


def test_no_span_waits_longer_than_the_delay(exporter, until):
    """Less than a batch goes out after the delay."""
    exporter.may.set()
    queue = SpanQueue(exporter, size=100, batch=50, delay=0.2)
    end(tracer(queue), 3)
    until(lambda: sum(exporter.sizes) == 3, 30)
    queue.shutdown()


def test_a_batch_larger_than_the_queue_goes_out(exporter, until):
    """A queue that holds less than a batch is exported when it is full."""
    exporter.may.set()
    queue = SpanQueue(exporter, size=2, batch=512, delay=600)
    end(tracer(queue), 2)
    until(lambda: exporter.sizes == [2], 30)
    queue.shutdown()
