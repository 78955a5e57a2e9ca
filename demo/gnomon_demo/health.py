"""Whether one of the demo's processes does its work, as its container's health check asks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from gnomon_demo.settings import HOST, Settings

#: Seconds that one question may take.
PATIENCE_S = 3.0

#: Tables of this machine's TCP connections, and what they call an open one.
_CONNECTIONS, _ESTABLISHED = ("/proc/net/tcp", "/proc/net/tcp6"), "01"


def trouble(process: str, chosen: Settings) -> str | None:
    """Return what is wrong with a process of this machine, None where nothing is."""
    try:
        return _CHECKS[process](chosen)
    except KeyError:
        return f"no process {process}: there are {', '.join(_CHECKS)}"
    except Exception as error:  # noqa: BLE001  # a library's, or the network's: it is unwell
        return f"{process}: {type(error).__name__}: {error}"


def _desk(chosen: Settings) -> str | None:
    """Ask for a page that comes from the database."""
    page = _get(f"http://{HOST}:{chosen.port}/performance")
    return None if b"<html" in page else "the desk answers something else"


def _exchange(chosen: Settings) -> str | None:
    """Ask whether it is ready; prices would be refused at times, as they are meant to."""
    status = json.loads(_get(f"http://{HOST}:{chosen.exchange_port}/-/ready"))["status"]
    return None if status == "ready" else f"the exchange is {status}"


def _worker(chosen: Settings) -> str | None:
    """Ask for its page, and the broker for somebody who takes from the queue."""
    if b"\ntarget_info{" not in _get(f"http://{HOST}:{chosen.worker_port}/metrics"):
        return "the worker's page is another's"
    if chosen.celery is None or not chosen.celery.startswith(("amqp", "pyamqp")):
        return None
    from kombu.connection import Connection  # noqa: PLC0415  # needed by those who have a broker

    connect: Any = Connection  # it is typed in part
    with connect(chosen.celery, connect_timeout=PATIENCE_S) as connection:
        queue = connection.default_channel.queue_declare("transcriptions", passive=True)
    return None if queue.consumer_count else "nobody takes from the queue"


def _load(chosen: Settings) -> str | None:
    """Look for an open connection to the desk."""
    port = urlsplit(chosen.desk).port
    for table in map(Path, _CONNECTIONS):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, _, remote, state, *_ = line.split()
            if state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) == port:
                return None
    return "nobody is connected to the desk"


def _get(url: str) -> bytes:
    with build_opener(ProxyHandler({})).open(url, timeout=PATIENCE_S) as answer:
        body: bytes = answer.read()
        return body


_CHECKS: dict[str, Callable[[Settings], str | None]] = {
    "desk": _desk,
    "exchange": _exchange,
    "worker": _worker,
    "load": _load,
}
