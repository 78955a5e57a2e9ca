"""What the tests of watched databases share: engines, and what the page says of their pool."""

import asyncio
import itertools
import threading
import time
from collections import Counter

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine

import gnomon
from gnomon import subjects
from gnomon.databases.shapes import shapes, unused

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    """Keep what a test leaves behind to itself."""
    monkeypatch.setenv("GNOMON_RUN_DIR", str(tmp_path / "run"))
    yield
    shapes.clear()
    unused.clear()


@pytest.fixture
def pool():
    """A pool's name that no other test has, for the families are the process's."""
    return f"pool-{next(_numbers)}"


@pytest.fixture
def engine(tmp_path, pool):
    """Return a function that makes an engine, of SQLite in a file unless an address is given."""
    made = []

    def make(url=None, **options):
        new = create_engine(url or f"sqlite:///{tmp_path}/{pool}.db", **options)
        made.append(new)
        return new

    yield make
    for each in made:
        gnomon.unwatch_engine(each)
        each.dispose()


@pytest.fixture
def asynchronous():
    """Return a function that runs a coroutine function with an engine that it makes."""

    def run(url, body, **options):
        async def all_of_it():
            made = create_async_engine(url, **options)
            try:
                return await body(made)
            finally:
                gnomon.unwatch_engine(made)
                await made.dispose()

        return asyncio.run(all_of_it())

    return run


@pytest.fixture
def shown(pool):
    """Return a function that adds up a name's samples of the pool, None where there is none."""

    def value(name, **labels):
        wanted = {"db_client_connection_pool_name": pool, **labels}
        found = [
            sample.value
            for family in subjects.collect()
            for sample in family.samples
            if sample.name == name and wanted.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    return value


@pytest.fixture
def observed(pool):
    """Return a function that adds up a database's durations by chosen labels."""

    def counts(*names, namespace=f"{pool}.db"):
        found = Counter()
        for family in subjects.collect():
            for sample in family.samples:
                if (
                    sample.name == "db_client_operation_duration_seconds_count"
                    and sample.labels["db_namespace"] == namespace
                ):
                    found[tuple(sample.labels[name] for name in names)] += sample.value
        return found

    return counts


@pytest.fixture
def sleepy(engine):
    """Return a function that makes an engine of SQLite whose ``nap(seconds)`` takes its time."""

    def make(**options):
        new = engine(**options)
        event.listen(new, "connect", lambda raw, _: raw.create_function("nap", 1, time.sleep))
        return new

    return make


@pytest.fixture
def together():
    """Return a function that runs a function in so many threads, and gives them started."""
    threads = []

    def run(times, body):
        new = [threading.Thread(target=body) for _ in range(times)]
        threads.extend(new)
        for thread in new:
            thread.start()
        return new

    yield run
    for thread in threads:
        thread.join(30)


@pytest.fixture
def shape(until):
    """Return a function that waits for a pool's one shape to be as is wanted, and gives it."""

    def wait(pool, condition=lambda _: True, seconds=30.0):
        def found():
            return [each for each in shapes.of(pool) if condition(each)]

        until(found, seconds)
        (only,) = found()
        return only

    return wait
