"""What the containers' health checks say of the demo's processes."""

import os
import subprocess
import sys

from kombu.connection import Connection

import brokers
import servers
from gnomon_demo import health
from gnomon_demo.settings import settings
from gnomon_demo.tones import tone


def test_a_desk_and_an_exchange_are_healthy_while_they_answer(desk):
    """As their own pages show; a port where nobody listens is said with its error."""
    chosen = settings(desk.environ)
    assert health.trouble("desk", chosen) is None
    assert health.trouble("exchange", chosen) is None
    nobody = settings({**desk.environ, "GNOMON_DEMO_PORT": str(servers.free_port())})
    assert "refused" in health.trouble("desk", nobody)
    assert "no process" in health.trouble("neither", chosen)


def test_the_load_is_healthy_while_it_is_connected(desk):
    """One open connection to the desk's port, whoever holds it in this container."""
    assert desk.get("/-/ready").status_code == 200  # the client keeps its connection
    assert health.trouble("load", settings({"GNOMON_DEMO_URL": desk.url})) is None
    elsewhere = f"http://127.0.0.1:{servers.free_port()}"
    found = health.trouble("load", settings({"GNOMON_DEMO_URL": elsewhere}))
    assert found == "nobody is connected to the desk"


def test_the_exit_status_is_the_verdict(desk):
    """Nought for a process that works; else its line, on stderr."""

    def checked(**environ):
        return subprocess.run(
            [sys.executable, "-m", "gnomon_demo", "healthy", "desk"],
            env={**os.environ, **desk.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert checked().returncode == 0
    bad = checked(GNOMON_DEMO_PORT=str(servers.free_port()))
    assert bad.returncode == 1
    assert "refused" in bad.stderr


def test_rabbitmq_carries_the_queue_as_redis_does(another, tmp_path, eventually):
    """The most urgent first; a worker is healthy from when it takes from the queue."""

    def waiting(url):
        with Connection(url) as connection:
            channel = connection.default_channel
            taken = [channel.basic_get("transcriptions") for _ in range(3)]
            return [message.properties["priority"] for message in taken]  # given back at the end

    with brokers.rabbitmq_server(tmp_path) as broker:
        url = f"amqp://guest:guest@127.0.0.1:{broker.port}//"
        desk = another(GNOMON_DEMO_CELERY=url)
        batches = {
            priority: desk.send((f"{priority}.wav", tone(1)), priority=priority)
            for priority in ("low", "normal", "high")
        }
        assert waiting(url) == [2, 1, 0]
        own = {"GNOMON_DEMO_WORKER_PORT": str(servers.free_port())}
        environ = {**desk.environ, **own}
        assert "refused" in health.trouble("worker", settings(environ))
        words = [sys.executable, "-m", "gnomon_demo", "worker"]
        page = f"http://127.0.0.1:{own['GNOMON_DEMO_WORKER_PORT']}/metrics"
        with servers.Server(words, ready=page, log=tmp_path / "worker", env=environ):
            eventually(lambda: health.trouble("worker", settings(environ)) is None)
            for priority, batch in batches.items():
                assert desk.done(batch)["summary"]["done"] == 1, priority
        wrong = settings({**environ, "GNOMON_DEMO_CELERY": url.replace("guest@", "wrong@")})
        assert health.trouble("worker", wrong) is not None
