"""An application that several workers serve."""

import contextlib
import http.client
import os
import subprocess
import sys
import textwrap
import time

import pytest

import servers
from served import Served

APP = """
    import os
    from fastapi import FastAPI
    from prometheus_client import Counter, Gauge, Histogram
    import gnomon

    app = FastAPI()
    mine = Counter("mine", "The application's own.", ["pid"])
    seconds = Histogram("seconds", "The application's own.")
    level = Gauge("level", "The application's own.")

    @app.get("/a")
    async def a():
        mine.labels("any").inc()
        seconds.observe(0.1, {"trace_id": str(os.getpid())})
        level.set(1)
        return os.getpid()

    @app.get("/remove")
    async def remove():
        mine.labels(str(os.getpid())).inc()
        mine.remove(str(os.getpid()))

    gnomon.instrument(app, service="several")
"""


@pytest.fixture
def start(tmp_path):
    """Return a function that serves the application with several workers."""
    (tmp_path / "program.py").write_text(textwrap.dedent(APP))
    (tmp_path / "run").mkdir()
    running = []

    def run(*words, **environment):
        port = servers.free_port()
        command = [word.replace("PORT", str(port)) for word in words]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run")} | environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        running.append(process)
        served = Served(process, port)
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline
            assert process.poll() is None
            with contextlib.suppress(OSError, http.client.HTTPException):
                served.get("/metrics")
                return served
            time.sleep(0.1)

    yield run
    for process in running:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()
