"""`gnomon demo-alert`: one alert's whole way, from a metric of this host to a receiver."""

import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from gnomon_stack import lock, loopback
from gnomon_stack import ports as port_use
from gnomon_stack.alerting.listener import listening
from gnomon_stack.home import Home
from gnomon_stack.parts import ALERTMANAGER, EXPORTER, HOST, PROMETHEUS
from gnomon_stack.supervise import lead
from gnomon_stack.trouble import Trouble
from gnomon_stack.webhook import Notification, receiver

ALERT = "HostRunQueueRunaway"
METRIC = "node_procs_running"

# The rule asks for more than 40 for each processor; a few are always counted as waiting.
TASKS_PER_PROCESSOR = 50

# Scrape and evaluation every ten seconds, 20 s of pending, 5 s of grouping: 45 s at worst.
_PATIENCE_S = 150.0
_PAUSE_S = 0.2

_T = TypeVar("_T")


class _Way:
    """Prints each step with the time since the first, and waits for the next."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._start_s = time.monotonic()

    def step(self, where: str, what: str) -> None:
        self._say(f"{time.monotonic() - self._start_s:6.1f} s  {where:<13} {what}")

    def wait(self, what: str, look: Callable[[], _T | None]) -> _T:
        """Return what ``look`` finds; raise Trouble when it finds nothing for too long."""
        end = time.monotonic() + _PATIENCE_S
        while (found := look()) is None:
            if time.monotonic() > end:
                raise Trouble(f"waited {_PATIENCE_S:.0f} s in vain: {what}")
            time.sleep(_PAUSE_S)
        return found


def demo_alert(home: Home, say: Callable[[str], None]) -> None:
    """Overload this host harmlessly, and show the alert's way until it is over.

    Raise Trouble where no stack runs, or where the alert gets stuck on its way.
    """
    running = lock.running(home.lock)
    if running is None:
        raise Trouble("no stack runs here: start it with `make up` in another terminal")
    if not {EXPORTER.name, PROMETHEUS.name, ALERTMANAGER.name} <= running.ports.keys():
        raise Trouble("the running stack has no Alertmanager: see what `make up` said about it")
    prometheus, alertmanager = running.ports["prometheus"], running.ports["alertmanager"]
    if _alert(prometheus):
        raise Trouble(f"{ALERT} is active already: this host is overloaded without any demo")
    way = _Way(say)
    with ExitStack() as stack:
        address = port_use.free()
        received = stack.enter_context(receiver(address))
        stack.enter_context(listening(home, alertmanager, ALERT, address))
        say(
            f"A receiver listens at http://{HOST}:{address}/; Alertmanager tells it for this while."
        )
        processors = os.cpu_count() or 1
        before = _metric(running.ports["exporter"])
        way.step("host", f"{METRIC} is {before:.0f}, on {processors} processors")
        load = stack.enter_context(_load(processors * TASKS_PER_PROCESSOR))
        after = _metric(running.ports["exporter"])
        way.step("host", f"{METRIC} is {after:.0f}: our tasks, which give way to all others")
        _follow(way, prometheus, alertmanager)
        firing = way.wait("the receiver gets the alert", lambda: _next(received, "firing"))
        way.step("receiver", "is told:")
        say(json.dumps(firing, indent=2, ensure_ascii=False))
        load.kill()
        way.step("host", "our tasks have ended")
        way.wait("the receiver is told that it is over", lambda: _next(received, "resolved"))
        way.step("receiver", "is told that it is over; the demo leaves nothing behind")


def _follow(way: _Way, prometheus: int, alertmanager: int) -> None:
    """Show the alert's steps through Prometheus to Alertmanager."""
    rule = way.wait("Prometheus knows the rule", lambda: _rule(prometheus))
    expression = " ".join(rule["query"].split())
    value = way.wait("Prometheus sees it", lambda: loopback.value(prometheus, expression))
    way.step("Prometheus", f"has scraped it: {expression} holds, with {value:.1f}")
    way.wait("the rule is evaluated", lambda: _alert(prometheus))
    way.step("rule", f"{ALERT} is pending; it fires if that lasts {rule['duration']:.0f} s")
    way.wait("the alert fires", lambda: _alert(prometheus, "firing"))
    way.step("rule", "is firing")
    way.wait("Alertmanager has the alert", lambda: _taken(alertmanager))
    way.step("Alertmanager", "has it, and waits a moment for others of its group")


@contextmanager
def _load(tasks: int) -> Iterator["subprocess.Popen[str]"]:
    """Let so many tasks want to run while the block runs."""
    words = [*lead("KILL"), sys.executable, "-m", "gnomon_stack.load", str(tasks)]
    # In a session of its own: a terminal's Ctrl-C shall reach this process, which ends the tasks.
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101  # it is a pipe, one line above
            if not process.stdout.readline():
                raise Trouble(f"this system does not allow {tasks} threads: see `ulimit -u`")
            yield process
        finally:
            process.kill()


def _metric(exporter: int) -> float:
    """Return the host's metric, as the exporter gives it now."""
    for line in loopback.get(exporter, "/metrics").decode().splitlines():
        if line.startswith(f"{METRIC} "):
            return float(line.rpartition(" ")[2])
    raise Trouble(f"the exporter has no {METRIC} on this host")


def _rule(prometheus: int) -> Any:
    """Return Prometheus' rule for the alert."""
    for group in (loopback.data(prometheus, "/api/v1/rules") or {}).get("groups", []):
        for rule in group["rules"]:
            if rule["name"] == ALERT:
                return rule
    return None


def _alert(prometheus: int, state: str | None = None) -> Any:
    """Return Prometheus' alert, if there is one, in the given state if one is given."""
    for alert in (loopback.data(prometheus, "/api/v1/alerts") or {}).get("alerts", []):
        if alert["labels"]["alertname"] == ALERT and state in {None, alert["state"]}:
            return alert
    return None


def _taken(alertmanager: int) -> Any:
    """Return Alertmanager's alert, if it has it."""
    with suppress(OSError, ValueError):
        for alert in json.loads(loopback.get(alertmanager, "/api/v2/alerts")):
            if alert["labels"]["alertname"] == ALERT:
                return alert
    return None


def _next(received: "queue.Queue[Notification]", status: str) -> Notification | None:
    """Return the notification of the alert with this status, if it has arrived."""
    with suppress(queue.Empty):
        while True:
            notification = received.get_nowait()
            names = {alert["labels"].get("alertname") for alert in notification["alerts"]}
            if notification["status"] == status and ALERT in names:
                return notification
    return None
