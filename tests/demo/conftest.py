"""The demo as it runs: an exchange and a desk of two workers, for all tests."""

import contextlib
import io
import sys
import time
import wave
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import servers

#: Seconds that anything may take on a busy machine.
PATIENCE_S = 60.0


class Desk:
    """A desk that runs, and what its metrics say."""

    def __init__(self, environ, data, log):
        self.environ = environ
        self.data = data
        self.log = log
        self.url = f"http://127.0.0.1:{environ['GNOMON_DEMO_PORT']}"
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False)

    def get(self, path, **options):
        """Return the answer to a GET."""
        return self.http.get(path, **options)

    def post(self, path, **options):
        """Return the answer to a POST."""
        return self.http.post(path, **options)

    def metrics(self):
        """Return all samples of the page."""
        return [
            sample
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
        ]

    def metric(self, name, **labels):
        """Sum a metric's samples over the labels that are not given."""
        return sum(
            sample.value
            for sample in self.metrics()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def send(self, *files, priority="normal"):
        """Send a batch; return its id."""
        parts = [("files", file) for file in files]
        answer = self.post("/transcribe/batches", files=parts, data={"priority": priority})
        assert answer.status_code == 202, answer.text
        return answer.json()["batch"]

    def done(self, batch):
        """Return a batch once all of it is done or failed."""
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = self.get(f"/transcribe/batches/{batch}")
            # A fault that was just ended takes a worker a moment to notice.
            if answer.status_code == 200:
                summary = answer.json()["summary"]
                if summary["done"] + summary["failed"] == summary["files"]:
                    found: dict[str, Any] = answer.json()
                    return found
            assert time.monotonic() < end, answer.text
            time.sleep(0.05)


@pytest.fixture(scope="package")
def environ(tmp_path_factory):
    """The environment of all processes of the demo."""
    return {
        "GNOMON_DEMO_PORT": str(servers.free_port()),
        "GNOMON_EXCHANGE_PORT": str(servers.free_port()),
        "GNOMON_DEMO_DATA": str(tmp_path_factory.mktemp("demo") / "data"),
        "GNOMON_DEMO_POOL_SECONDS": "4",
        "OTEL_SDK_DISABLED": "true",
    }


@pytest.fixture(scope="package")
def exchange(environ, tmp_path_factory):
    """An exchange that runs; its address."""
    url = f"http://127.0.0.1:{environ['GNOMON_EXCHANGE_PORT']}"
    words = [sys.executable, "-m", "gnomon_demo", "exchange"]
    log = tmp_path_factory.mktemp("exchange") / "log"
    with servers.Server(words, ready=f"{url}/-/ready", log=log, env=environ):
        yield url


@contextlib.contextmanager
def running(environ, log):
    """A desk that runs in an environment, with both of its workers."""
    found = Desk(environ, Path(environ["GNOMON_DEMO_DATA"]), log)
    words = [sys.executable, "-m", "gnomon_demo", "desk"]
    with servers.Server(words, ready=f"{found.url}/-/ready", log=log, env=environ):
        end = time.monotonic() + PATIENCE_S
        while found.metric("gnomon_workers") < 2:
            assert time.monotonic() < end
            time.sleep(0.1)
        yield found
        found.http.close()


@pytest.fixture(scope="package")
def desk(environ, exchange, tmp_path_factory):  # noqa: ARG001  # the desk asks the exchange
    """A desk that runs, with two workers."""
    with running(environ, tmp_path_factory.mktemp("desk") / "log") as found:
        yield found


@pytest.fixture
def another(environ, exchange, tmp_path):  # noqa: ARG001  # the desk asks the exchange
    """Return a function that runs a desk of its own, with further variables."""
    with contextlib.ExitStack() as stack:

        def run(**variables):
            own = {"GNOMON_DEMO_PORT": str(servers.free_port())}
            own["GNOMON_DEMO_DATA"] = str(tmp_path / "data")
            return stack.enter_context(running({**environ, **own, **variables}, tmp_path / "log"))

        yield run


@pytest.fixture
def eventually():
    """Return a function that waits until a condition holds."""
    return servers.until


@pytest.fixture
def wav():
    """Return a function that makes a WAV file of samples from -1 to 1."""

    def made(samples, rate=16_000, width=2, channels=1):
        samples = np.asarray(samples, np.float64)
        top = 2 ** (8 * width - 1) - 1
        numbers = np.round(samples * top).astype(np.int64)
        if width == 1:
            numbers += 128
        raw = numbers.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
        file = io.BytesIO()
        with wave.open(file, "wb") as sound:
            sound.setnchannels(channels)
            sound.setsampwidth(width)
            sound.setframerate(rate)
            sound.writeframes(np.ascontiguousarray(raw).tobytes())
        return file.getvalue()

    return made


@pytest.fixture
def sound():
    """Return a function that makes samples: silence with tones in it, as (start, end, hertz)."""

    def made(seconds, *tones, rate=16_000, level=0.5):
        at = np.arange(round(seconds * rate)) / rate
        samples = np.zeros(len(at))
        for start, end, hertz in tones:
            on = (at >= start) & (at < end)
            samples[on] = level * np.sin(2 * np.pi * hertz * at[on])
        return samples

    return made
