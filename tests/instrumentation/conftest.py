"""What the library's tests share: a registry of their own, requests without and with a server."""

import asyncio
import contextlib
import threading
import time

import httpx
import pytest
import uvicorn
from prometheus_client import CollectorRegistry

import servers
from gnomon import subjects


@pytest.fixture
def registry():
    """A registry that no other test writes into."""
    return CollectorRegistry()


@pytest.fixture
def value(registry):
    """Return a function that gives a sample's value, None if it is not on the page."""

    def sample(name, **labels):
        return registry.get_sample_value(name, labels)

    return sample


@pytest.fixture
def counted(registry):
    """Return a function that sums a family's samples of one name over the labels not given."""

    def total(name, **labels):
        return sum(
            sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    return total


@pytest.fixture
def ask():
    """Return a function that sends requests to an application, without a server."""

    def send(app, *requests, client=("127.0.0.1", 50000), root_path="", **options):
        async def run():
            transport = httpx.ASGITransport(
                app, raise_app_exceptions=False, client=client, root_path=root_path
            )
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return [await http.request(*request, **options) for request in requests]

        answers = asyncio.run(run())
        return answers[0] if len(answers) == 1 else answers

    return send


@pytest.fixture
def serve():
    """Return a function that serves an application with uvicorn and gives its address."""
    with contextlib.ExitStack() as stack:

        def start(app, **options):
            port = servers.free_port()
            config = uvicorn.Config(app, port=port, log_level="critical", **options)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run)
            thread.start()

            def stop():
                server.should_exit = True
                thread.join(20)

            stack.callback(stop)
            deadline = time.monotonic() + 20
            while not server.started:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            return f"127.0.0.1:{port}"

        yield start


@pytest.fixture
def until():
    """Return a function that waits until a condition holds, and fails when it never does."""

    def wait(condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.01)

    return wait


class Seen:
    """What the subjects' series were at the beginning, and what they have become."""

    def __init__(self):
        self.before = self.now()

    @staticmethod
    def now():
        """Every series: name and label values in their order."""
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in subjects.collect()
            for sample in family.samples
        }

    def __call__(self, name, *labels):
        """How much a series has risen, which is there."""
        return self.now()[(name, *labels)] - self.before.get((name, *labels), 0)


@pytest.fixture
def seen():
    """What the test has added to the subjects' families, which are the whole process's."""
    return Seen()
