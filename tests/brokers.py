"""A real RabbitMQ for the tests, alone with its directory on free ports, and Celery workers."""

import os
import shutil
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

import servers
from servers import Server

#: Where packages put the program itself; what is on PATH may be a script that asks for root.
_FOLDERS = "/usr/lib/rabbitmq/bin:/opt/rabbitmq/sbin:/opt/homebrew/sbin"


class RabbitMQ(NamedTuple):
    """A running broker: its AMQP port, its plugin's port for Prometheus, and its process."""

    port: int
    metrics_port: int
    server: Server


@contextmanager
def rabbitmq_server(directory: Path, *, port: int | None = None) -> Iterator[RabbitMQ]:
    """Run rabbitmq-server with the plugin rabbitmq_prometheus; skip (in CI: fail) without it."""
    path = f"{_FOLDERS}:{os.environ.get('PATH', os.defpath)}"
    program = shutil.which("rabbitmq-server", path=path)
    mapper = shutil.which("epmd", path=path)
    if program is None or mapper is None:
        why = "rabbitmq-server is not installed"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    port = port or servers.free_port()
    metrics_port, mapper_port = servers.free_port(), servers.free_port()
    (directory / "plugins").write_text("[rabbitmq_prometheus].\n")
    (directory / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\n"
        f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {metrics_port}\n"
    )
    env = {
        "HOME": str(directory),
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
        "RABBITMQ_DIST_PORT": str(servers.free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_LOG_BASE": str(directory),
        "RABBITMQ_MNESIA_BASE": str(directory),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        # On a machine with few cores, Erlang's threads that wait in a loop take them all.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
    }
    # A mapper of our own ends with the test; the one that Erlang would start stays for ever.
    with (
        Server([mapper], log=directory / "epmd.log", env=env),
        Server(
            [program],
            ready=f"http://127.0.0.1:{metrics_port}/metrics",
            log=directory / f"rabbitmq-{port}.log",
            env=env,
            deadline_s=180,  # seconds on an idle machine, a minute and more on a busy one
        ) as server,
    ):
        yield RabbitMQ(port, metrics_port, server)


@contextmanager
def celery_workers(url: str, directory: Path, **options: str) -> Iterator[dict[str, Server]]:
    """Run a Celery worker on broker ``url`` for each name, with its command line options."""
    env = {"TEST_BROKER": url, "PYTHONPATH": str(servers.ROOT / "tests")}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                Server(
                    [
                        *(sys.executable, "-m", "celery", "-A", "celery_app", "worker"),
                        *("--hostname", f"{name}@{name}-host", *words.split()),
                    ],
                    log=directory / f"{name}.log",
                    env=env,
                )
            )
            for name, words in options.items()
        }


class Relay:
    """A way to a port that can be cut and mended: the broker is away, and comes back at once.

    tls: what comes in is encrypted.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._tls = tls
        self._pairs: list[socket.socket] = []
        self.port = servers.free_port()
        self._listener: socket.socket | None = None

    def mend(self) -> None:
        """Take connections and pass on what comes."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for end in self._pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._pairs.clear()

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                if self._tls is not None:
                    try:
                        near = self._tls.wrap_socket(near, server_side=True)
                    except OSError:  # a client that does not trust us
                        continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._pairs += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
