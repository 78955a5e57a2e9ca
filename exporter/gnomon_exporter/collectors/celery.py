"""Celery: its queues by way of the broker, its tasks and workers by the events they send.

Under celery-exporter's names. What differs: a scrape never waits for workers to answer (they are
asked at one scrape, and their answers read at the next); workers that share a host's name are
added up, not overwritten; a queue's length has the tasks of every priority; a new series stands
at 0 for a minute, so that its first event shows in increase(); a task whose name we missed is
called unknown.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from gnomon_exporter.celery_amqp import AmqpBroker, AmqpEvents, AmqpLogin
from gnomon_exporter.celery_broker import Broker, Events, Names, Queues
from gnomon_exporter.celery_labels import TaskSeries, shortened
from gnomon_exporter.celery_listener import Listener
from gnomon_exporter.celery_messages import Answers
from gnomon_exporter.celery_redis import SEPARATOR, RedisBroker, RedisEvents
from gnomon_exporter.celery_tally import Tally
from gnomon_exporter.client_connection import Tls
from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.redis_login import Login

# prometheus-client's own, and those that celery-exporter gives waits, as settings give them.
_RUNTIME = (
    ".005",
    ".01",
    ".025",
    ".05",
    ".075",
    ".1",
    ".25",
    ".5",
    ".75",
    "1",
    "2.5",
    "5",
    "7.5",
    "10",
)
_WAIT = (".05", ".1", ".25", ".5", "1", "2.5", "5", "10", "30", "60", "120", "300", "600", "1800")
# Seconds that workers have to answer a question; celery-exporter's patience, too.
_PATIENCE = 1.0
# Seconds until they are asked again when one of them has not answered yet.
_NEWCOMER = 10.0


class CeleryCollector:
    """Celery's queues, tasks and workers, by way of Redis or RabbitMQ.

    Workers must send events: ``celery worker -E``, or worker_send_task_events. Waits are known of
    tasks whose senders have task_send_sent_event.

    address: the broker's: redis://[user[:password]@]host[:port][/database], rediss:// for TLS,
    unix:///path; or amqp://[user[:password]@]host[:port][/vhost], amqps:// for TLS. A password is
    better off in password_file.
    username: the broker's user.
    password_file: file with nothing but the password, read at login.
    server_timeout: seconds for the whole conversation of a scrape.
    events: listen for events; without, there are only queues.
    inspect_interval: seconds between two questions to the workers: which queues they consume and
    with how many processes; 0 asks never.
    queues: queues to report, beside those of the workers and senders.
    queue_limit: most queues that are reported; those left out are counted.
    default_queue: what task_default_queue is.
    buckets: of the histogram of runtimes, in seconds.
    queue_wait_buckets: of the histogram of waits, in seconds.
    priority_steps: Redis: the transport's priority_steps.
    priority_separator: Redis: the transport's sep.
    key_prefix: Redis: the transport's global_keyprefix.
    event_exchange: what event_exchange is in the application's settings.
    control_exchange: what control_exchange is in the application's settings.
    worker_timeout: seconds of silence after which a worker is down.
    purge_after: seconds of silence after which a host has no series any more.
    task_limit: most tasks in flight that are kept.
    label_limit: most sets of task name, host and queue; beyond it all is counted as _OTHER.
    tls_ca_file: certificates of the authorities to trust instead of the system's.
    tls_cert_file: our certificate.
    tls_key_file: its key, where not in the same file.
    tls_server_name: name in the server's certificate, where it is not the address's host.
    tls_insecure_skip_verify: take any certificate.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        address: str = "redis://127.0.0.1:6379/0",
        username: str = "",
        password_file: str = "",
        server_timeout: float = 3.0,
        events: bool = True,
        inspect_interval: float = 60.0,
        queues: tuple[str, ...] = (),
        queue_limit: int = 1000,
        default_queue: str = "celery",
        buckets: tuple[str, ...] = _RUNTIME,
        queue_wait_buckets: tuple[str, ...] = _WAIT,
        priority_steps: tuple[str, ...] = ("0", "3", "6", "9"),
        priority_separator: str = SEPARATOR,
        key_prefix: str = "",
        event_exchange: str = "celeryev",
        control_exchange: str = "celery",
        worker_timeout: float = 300.0,
        purge_after: float = 600.0,
        task_limit: int = 10_000,
        label_limit: int = 500,
        tls_ca_file: str = "",
        tls_cert_file: str = "",
        tls_key_file: str = "",
        tls_server_name: str = "",
        tls_insecure_skip_verify: bool = False,
        _birth: float = 60.0,
    ) -> None:
        del paths  # a server is none of the host's files
        for name, value in (
            ("server_timeout", server_timeout),
            ("queue_limit", queue_limit),
            ("worker_timeout", worker_timeout),
            ("purge_after", purge_after),
            ("task_limit", task_limit),
            ("label_limit", label_limit),
        ):
            if value <= 0:
                raise ValueError(f"{name}: must be more than 0")
        tls = Tls(
            tls_ca_file, tls_cert_file, tls_key_file, tls_server_name, tls_insecure_skip_verify
        )
        names = Names(event_exchange, f"{control_exchange}.pidbox", key_prefix)
        self._broker: Broker
        if address.partition("://")[0] in ("amqp", "amqps", "pyamqp"):
            amqp = AmqpLogin(address, username=username, password_file=password_file, tls=tls)
            self._broker = AmqpBroker(amqp, names, timeout=server_timeout)

            def subscribe() -> Events:
                return AmqpEvents(amqp, names, timeout=server_timeout)
        else:
            login = Login(address, username=username, password_file=password_file, tls=tls)
            steps = _steps(priority_steps)
            self._broker = RedisBroker(login, names, priorities=steps, separator=priority_separator)

            def subscribe() -> Events:
                return RedisEvents(login, names, timeout=server_timeout)

        series = TaskSeries(
            limit=label_limit,
            birth=_birth,
            runtime_buckets=_bounds("buckets", buckets),
            wait_buckets=_bounds("queue_wait_buckets", queue_wait_buckets),
        )
        self._tally = Tally(
            series,
            task_limit=task_limit,
            worker_timeout=worker_timeout,
            purge_after=purge_after,
            default_queue=default_queue,
        )
        self._listener = Listener(subscribe, self._tally) if events else None
        self._timeout = server_timeout
        self._inspect_interval = inspect_interval
        self._asked = -math.inf
        self._answers = Answers()
        self._is_answered = True
        self._queue_limit = queue_limit
        self._queues = dict.fromkeys((*queues, default_queue))

    def collect(self) -> Iterator[Metric]:
        """Yield what the events told so far, then the queues as they are. Raises OSError."""
        if self._listener is not None:
            self._listener.start()
            yield from self._tally.families(is_listening=self._listener.is_listening)
            yield GaugeMetricFamily(
                "gnomon_celery_listening",
                "1 while the workers' events come in.",
                int(self._listener.is_listening),
            )
        deadline = time.monotonic() + self._timeout
        self._broker.greet(deadline)
        self._inspect(deadline)
        known = dict.fromkeys(
            (
                *self._queues,
                *self._tally.known_queues(),
                *sorted({name for names in self._answers.queues.values() for name in names}),
            )
        )
        names = list(known)[: self._queue_limit]
        yield GaugeMetricFamily(
            "gnomon_celery_queues_left_out",
            "Queues beyond queue_limit.",
            len(known) - len(names),
        )
        yield from _lengths(self._broker.queues(names, deadline))
        if self._answers.queues:
            yield from _consumers(names, self._answers)
        if self._listener is not None and self._listener.problem:
            raise OSError(self._listener.problem)

    def _inspect(self, deadline: float) -> None:
        """Read what the workers answered since the last scrape; ask them again when it is time."""
        if self._inspect_interval <= 0:
            return
        now = time.monotonic()
        if not self._is_answered and now - self._asked >= _PATIENCE:
            self._answers = self._broker.answers(deadline)
            self._is_answered = True
        interval = self._inspect_interval
        if self._tally.nodes() - self._answers.queues.keys():
            interval = min(interval, _NEWCOMER)
        if self._is_answered and now - self._asked >= interval:
            self._broker.ask(deadline)
            self._asked, self._is_answered = now, False


def _lengths(queues: Queues) -> Iterator[Metric]:
    length = GaugeMetricFamily(
        "celery_queue_length", "Messages in the queue, of all priorities.", labels=("queue_name",)
    )
    priority = GaugeMetricFamily(
        "gnomon_celery_queue_priority_length",
        "Messages in the queue by the priority step they wait in.",
        labels=("queue_name", "priority"),
    )
    consumers = GaugeMetricFamily(
        "celery_active_consumer_count", "Consumers of the queue.", labels=("queue_name",)
    )
    for queue, count in queues.length.items():
        name = shortened(queue)
        length.add_metric((name,), count)
        if queue in queues.consumers:
            consumers.add_metric((name,), queues.consumers[queue])
        for step, waiting in queues.by_priority.get(queue, {}).items():
            priority.add_metric((name, str(step)), waiting)
    yield from (length, priority, consumers)
    if queues.unacknowledged is not None:
        yield GaugeMetricFamily(
            "gnomon_celery_unacknowledged_messages",
            "Messages that workers hold without having acknowledged them, of all queues.",
            queues.unacknowledged,
        )


def _consumers(names: Sequence[str], answers: Answers) -> Iterator[Metric]:
    workers: Counter[str] = Counter()
    processes: Counter[str] = Counter()
    concurrency: Counter[str] = Counter()
    for node, queues in answers.queues.items():
        for queue in set(queues):
            workers[queue] += 1
            processes[queue] += answers.processes.get(node, 0)
            concurrency[queue] += answers.concurrency.get(node, 0)
    for name, documentation, counts in (
        ("celery_active_worker_count", "Workers that consume the queue.", workers),
        (
            "celery_active_process_count",
            "Processes of those workers' pools; a pool of threads has none.",
            processes,
        ),
        (
            "gnomon_celery_active_concurrency",
            "Tasks that those workers can run at once, in processes or threads.",
            concurrency,
        ),
    ):
        family = GaugeMetricFamily(name, documentation, labels=("queue_name",))
        for queue in names:
            family.add_metric((shortened(queue),), counts[queue])
        yield family


def _bounds(setting: str, texts: Sequence[str]) -> list[float]:
    """Return a histogram's bounds. Raises ValueError."""
    try:
        bounds = [float(text) for text in texts]
    except ValueError:
        raise ValueError(f"{setting}: every bound is a number of seconds") from None
    if bounds != sorted(set(bounds)) or not all(0 <= bound < float("inf") for bound in bounds):
        raise ValueError(f"{setting}: the bounds rise, and the infinite one is not written")
    return bounds


def _steps(texts: Sequence[str]) -> list[int]:
    """Return the steps of priorities. Raises ValueError."""
    if not texts or not all(text.isdecimal() for text in texts):
        raise ValueError("priority_steps: every step is a whole number, the lowest 0")
    return sorted({int(text) for text in texts})
