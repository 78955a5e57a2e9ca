"""What Celery's events say: tasks counted and in flight, and the workers that are alive.

An event is a dictionary with a type and a hostname: task-sent from a client, task-received,
-started and how it ended from a worker, and every two seconds a worker-heartbeat. Only the first
two name the task and its queue, so what is in flight is kept in a table. What it all comes from
is the network: nothing in it is trusted, and everything that is kept is bounded.
"""

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from gnomon_exporter.celery_labels import COUNTED, Labels, TaskSeries, shortened
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric

_ENDS = frozenset(("succeeded", "failed", "rejected", "revoked", "retried"))
#: Workers that are kept, and hosts that send.
_HOSTS = 10_000
#: Queues that are learned from senders.
_QUEUES = 1000


class _Task:
    """A task on its way. Times are Unix seconds, None while it has not come so far."""

    __slots__ = ("due", "is_certain", "name", "queue", "sent", "started", "worker")

    def __init__(self) -> None:
        self.name = ""
        self.queue = ""
        self.worker = ""
        self.is_certain = True  # no event about it can have been missed
        self.sent: float | None = None
        self.due: float | None = None
        self.started: float | None = None


class _Worker:
    """A worker as its last event showed it; ``seen`` is our own monotonic clock's."""

    __slots__ = ("active", "offline", "pid", "seen")

    def __init__(self, pid: object, seen: float) -> None:
        self.pid = pid
        self.seen = seen
        self.active: int | None = None
        self.offline = False


class Tally:
    """Takes events, by one thread, and yields families, to another.

    task_limit: most tasks in flight; of more, the oldest are forgotten, and counted.
    worker_timeout: seconds of silence after which a worker is down.
    purge_after: seconds of silence after which a host has no series any more.
    default_queue: the queue of a task whose sender did not name one.
    """

    def __init__(
        self,
        series: TaskSeries,
        *,
        task_limit: int,
        worker_timeout: float,
        purge_after: float,
        default_queue: str,
    ) -> None:
        self._lock = threading.Lock()
        self._series = series
        self._task_limit = task_limit
        self._worker_timeout = worker_timeout
        self._purge_after = purge_after
        self._default_queue = default_queue
        self._queues: dict[str, None] = {}
        self._tasks: OrderedDict[str, _Task] = OrderedDict()
        self._workers: dict[str, _Worker] = {}
        self._hosts: dict[str, float] = {}
        self._events = self._rejected = self._forgotten = 0

    def take(self, event: object) -> None:
        """Count an event; one that makes no sense is counted as rejected."""
        with self._lock:
            self._events += 1
            match event:
                case {"type": str(kind), "hostname": str(node)} if node and isinstance(event, dict):
                    # Kinds that we do not know are other people's own events.
                    group, _, word = kind.partition("-")
                    if group == "worker":
                        self._worker(word, shortened(node), event)
                    elif group == "task" and word in COUNTED:
                        self._task(word, shortened(node), event)
                case _:
                    self._rejected += 1

    def reject(self) -> None:
        """Count a message that is no event in JSON."""
        with self._lock:
            self._events += 1
            self._rejected += 1

    def resume(self) -> None:
        """Take note that events come again: nobody was silent while we did not listen."""
        now = time.monotonic()
        with self._lock:
            for worker in self._workers.values():
                worker.seen = max(worker.seen, now) if not worker.offline else worker.seen
            self._hosts = dict.fromkeys(self._hosts, now)
            for task in self._tasks.values():
                task.is_certain = False  # its end may be what we missed

    def known_queues(self) -> list[str]:
        """Return the queues that senders named."""
        with self._lock:
            return list(self._queues)

    def nodes(self) -> set[str]:
        """Return the workers that are online."""
        with self._lock:
            return {node for node, worker in self._workers.items() if not worker.offline}

    def families(self, *, is_listening: bool) -> Iterator[Metric]:
        """Yield everything; what changes without us only while we listen."""
        with self._lock:
            self._age(time.monotonic())
            found = [*self._series.families(), *self._own()]
            if is_listening:
                found += [*self._alive(), self._in_flight()]
        yield from found

    def _own(self) -> Iterator[Metric]:
        for name, documentation, count in (
            ("events", "Events that were read.", self._events),
            ("events_rejected", "Events that could not be understood.", self._rejected),
            (
                "events_overflowed",
                "Events counted as _OTHER because there were too many names.",
                self._series.overflowed,
            ),
            (
                "tasks_forgotten",
                "Tasks forgotten in flight because there were too many.",
                self._forgotten,
            ),
        ):
            yield CounterMetricFamily(f"gnomon_celery_{name}_total", documentation, count)

    def _alive(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "celery_worker_up",
            "1 if a worker of the host has been heard of lately.",
            labels=("hostname",),
        )
        active = GaugeMetricFamily(
            "celery_worker_tasks_active",
            "Tasks that the host's workers are working on.",
            labels=("hostname",),
        )
        now = time.monotonic()
        hosts: dict[str, bool] = {}
        busy: Counter[str] = Counter()
        for node, worker in self._workers.items():
            host = _host(node)
            is_up = not worker.offline and now - worker.seen <= self._worker_timeout
            hosts[host] = hosts.get(host, False) or is_up
            if worker.active is not None:
                busy[host] += worker.active if is_up else 0
        for host, is_up in hosts.items():
            up.add_metric((host,), int(is_up))
            if host in busy:
                active.add_metric((host,), busy[host])
        yield from (up, active)

    def _in_flight(self) -> Metric:
        family = GaugeMetricFamily(
            "gnomon_celery_tasks_in_flight",
            "Tasks that workers have received or started and not ended.",
            labels=(*Labels._fields, "state"),
        )
        counts = Counter(
            (task.name, task.worker, task.queue, "received" if task.started is None else "started")
            for task in self._tasks.values()
            if task.worker and task.is_certain
        )
        hosts: Counter[tuple[str, str, str, str]] = Counter()
        for (name, node, queue, state), count in counts.items():
            hosts[name, _host(node), queue, state] += count
        for labels, count in hosts.items():
            family.add_metric(labels, count)
        return family

    def _worker(self, word: str, node: str, event: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if word not in ("heartbeat", "online", "offline"):
            return
        if not self._known(_host(node), now):
            return
        worker = self._workers.get(node)
        pid = event.get("pid")
        if worker is None or worker.pid != pid:
            # Another process under the same name: what the former had in flight went with it.
            self._drop(node)
            worker = self._workers[node] = _Worker(pid, now)
        worker.seen = now
        worker.offline = word == "offline"
        if worker.offline:
            worker.active = 0
            self._drop(node)
        elif (active := _number(event.get("active"))) is not None:
            worker.active = int(active)

    def _task(self, word: str, node: str, event: Mapping[str, Any]) -> None:
        identity, host = shortened(event.get("uuid", "")), _host(node)
        self._known(host, time.monotonic())
        task = self._tasks.get(identity) or _Task()
        task.is_certain = True
        if isinstance(name := event.get("name"), str):
            task.name = shortened(name)
        if isinstance(queue := event.get("queue"), str):
            task.queue = shortened(queue)
            self._remember_queue(task.queue)
        if word in ("sent", "received") and event.get("eta") is not None:
            task.due = _moment(event["eta"])
        labels = Labels(task.name or "unknown", host, task.queue or self._default_queue)
        at = _number(event.get("timestamp"))
        self._series.count(word, labels, _exception(event) if word == "failed" else "")
        if word == "sent":
            task.sent = at
        else:
            task.worker = node
        if word == "started":
            task.started = at
            if task.sent is not None and at is not None:
                # Two hosts' clocks may differ by more than the wait.
                self._series.waited(labels, max(0.0, at - max(task.sent, task.due or 0.0)))
        if word == "succeeded" and (runtime := _number(event.get("runtime"))) is not None:
            self._series.ran(labels, max(0.0, runtime))
        self._keep(identity, task, is_over=word in _ENDS)

    def _keep(self, identity: str, task: _Task, *, is_over: bool) -> None:
        """Put a task in the table, or out of it."""
        if not is_over:
            self._tasks[identity] = task
            if len(self._tasks) > self._task_limit:
                self._tasks.popitem(last=False)
                self._forgotten += 1
        elif task.sent is not None and task.started is not None and task.sent > task.started:
            # A retry is sent anew under the same name, just before the first attempt ends.
            task.worker, task.started = "", None
            self._tasks[identity] = task
        else:
            self._tasks.pop(identity, None)

    def _known(self, host: str, now: float) -> bool:
        """Note that a host was heard; say whether there is room for it."""
        if host not in self._hosts and len(self._hosts) >= _HOSTS:
            return False
        self._hosts[host] = now
        return True

    def _remember_queue(self, queue: str) -> None:
        if queue not in self._queues and len(self._queues) < _QUEUES:
            self._queues[queue] = None

    def _drop(self, node: str) -> None:
        """Forget the tasks that a worker has in flight."""
        if node in self._workers:
            gone = [identity for identity, task in self._tasks.items() if task.worker == node]
            for identity in gone:
                del self._tasks[identity]

    def _age(self, now: float) -> None:
        """Forget whom we have not heard of for long."""
        for node in [n for n, w in self._workers.items() if now - w.seen > self._worker_timeout]:
            self._drop(node)
        gone = {host for host, seen in self._hosts.items() if now - seen > self._purge_after}
        for host in gone:
            del self._hosts[host]
            self._series.forget(host)
        for node in [node for node in self._workers if _host(node) in gone]:
            del self._workers[node]


def _host(node: str) -> str:
    """Return the host in a node's name: ``worker1@host``, ``gen4711@host``."""
    return node.rpartition("@")[2]


def _exception(event: Mapping[str, Any]) -> str:
    """Return the class in an exception's text: ``ValueError('no')``."""
    word, parenthesis, _ = str(event.get("exception", "")).partition("(")
    is_name = bool(parenthesis) and word.replace("_", "a").isalnum()
    return shortened(word) if is_name else "UnknownException"


def _number(value: object) -> float | None:
    """Return a finite number, None for anything else."""
    try:
        number = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _moment(text: object) -> float | None:
    """Return the Unix time of an ISO date, which is UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(str(text)[:64])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
