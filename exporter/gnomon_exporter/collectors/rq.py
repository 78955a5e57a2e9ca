"""RQ (Redis Queue): its jobs and workers as it registers them in Redis, under rq-exporter's names.

Read from the keys themselves: rq would bring the whole redis-py, 15 MiB of resident memory, for
what are five sets and a hash; and reading workers with it deletes the dead ones from the set.
"""

import time
from collections.abc import Iterator, Sequence

from gnomon_exporter.client_connection import Tls
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.redis_info import number
from gnomon_exporter.redis_keys import shown
from gnomon_exporter.redis_login import Login
from gnomon_exporter.resp import Command, Reply, ReplyError

# Status, the key's word for it, and the command that counts. "wip" is RQ's word for started.
_STATUSES = (
    ("queued", b"queue", "LLEN"),
    ("started", b"wip", "ZCARD"),
    ("finished", b"finished", "ZCARD"),
    ("failed", b"failed", "ZCARD"),
    ("deferred", b"deferred", "ZCARD"),
    ("scheduled", b"scheduled", "ZCARD"),
)
_FIELDS = ("state", "queues", "successful_job_count", "failed_job_count", "total_working_time")


class RqCollector:
    """RQ's queues and workers, from the Redis that they share.

    address: redis://[user[:password]@]host[:port][/database], rediss:// for TLS, or unix:///path.
    A password is better off in password_file.
    username: ACL user; empty for the default one.
    password_file: file with nothing but the password, read at each login.
    server_timeout: seconds for the whole conversation.
    prefix: RQ's own setting RQ_KEY_PREFIX.
    queue_limit: most queues, and most workers, that are read; those left out are counted.
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
        address: str = "redis://127.0.0.1:6379",
        username: str = "",
        password_file: str = "",
        server_timeout: float = 3.0,
        prefix: str = "rq",
        queue_limit: int = 1000,
        tls_ca_file: str = "",
        tls_cert_file: str = "",
        tls_key_file: str = "",
        tls_server_name: str = "",
        tls_insecure_skip_verify: bool = False,
    ) -> None:
        del paths  # a server is none of the host's files
        if server_timeout <= 0:
            raise ValueError("server_timeout: must be more than 0 seconds")
        if queue_limit < 1:
            raise ValueError("queue_limit: must be at least 1")
        tls = Tls(
            tls_ca_file, tls_cert_file, tls_key_file, tls_server_name, tls_insecure_skip_verify
        )
        login = Login(address, username=username, password_file=password_file, tls=tls)
        self._place = login.place
        self._redis = login.client()
        self._prefix = prefix.encode()
        self._timeout = server_timeout
        self._limit = queue_limit

    def collect(self) -> Iterator[Metric]:
        """Yield the jobs of each queue and what each worker says of itself. Raises OSError."""
        deadline = time.monotonic() + self._timeout
        reply = self._redis.greet(("PING",), deadline)
        if isinstance(reply, ReplyError):
            self._redis.close()
            raise PermissionError(f"{self._place}: {reply}")
        try:
            self._redis.select(self._place.database, deadline)
        except ReplyError as error:
            raise OSError(f"{self._place}: {error}") from None
        sets = [("SMEMBERS", self._prefix + b":queues"), ("SMEMBERS", self._prefix + b":workers")]
        known = self._checked(self._redis.ask(sets, deadline))
        queues, workers = (
            _names(members, self._prefix + kind)
            for members, kind in zip(known, (b":queue:", b":worker:"), strict=True)
        )
        left_out = GaugeMetricFamily(
            "gnomon_rq_left_out", "Queues and workers beyond queue_limit.", labels=("kind",)
        )
        left_out.add_metric(("queues",), max(0, len(queues) - self._limit))
        left_out.add_metric(("workers",), max(0, len(workers) - self._limit))
        yield left_out
        yield from self._workers(workers[: self._limit], deadline)
        yield self._jobs(queues[: self._limit], deadline)

    def _jobs(self, queues: Sequence[bytes], deadline: float) -> Metric:
        family = GaugeMetricFamily(
            "rq_jobs", "Jobs of the queue by status.", labels=("queue", "status")
        )
        commands: list[Command] = [
            (command, b"%s:%s:%s" % (self._prefix, word, queue))
            for queue in queues
            for _, word, command in _STATUSES
        ]
        replies = iter(self._checked(self._redis.ask(commands, deadline)))
        for queue in queues:
            name = shown(queue)
            for status, _, _ in _STATUSES:
                if isinstance(count := next(replies), int):
                    family.add_metric((name, status), count)
        return family

    def _workers(self, workers: Sequence[bytes], deadline: float) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "rq_workers",
            "RQ's workers and what each is doing; the value is 1.",
            labels=("name", "state", "queues"),
        )
        labels = ("name", "queues")
        counters = (
            CounterMetricFamily(
                "rq_workers_success_total", "Jobs that the worker has done.", labels=labels
            ),
            CounterMetricFamily(
                "rq_workers_failed_total", "Jobs that failed in the worker.", labels=labels
            ),
            CounterMetricFamily(
                "rq_workers_working_time_total",
                "Seconds that the worker has spent on jobs.",
                labels=labels,
            ),
        )
        commands: list[Command] = [
            ("HMGET", self._prefix + b":worker:" + worker, *_FIELDS) for worker in workers
        ]
        replies = self._checked(self._redis.ask(commands, deadline))
        for worker, reply in zip(workers, replies, strict=True):
            # The hash of a worker that died expires; its name stays in the set for a while.
            if not isinstance(reply, list) or not any(reply):
                continue
            state, queues, *counts = (shown(v) if isinstance(v, bytes) else None for v in reply)
            identity = (shown(worker), queues or "")
            info.add_metric((identity[0], state or "?", identity[1]), 1)
            for counter, count in zip(counters, counts, strict=True):
                # RQ writes these fields with the first job: until then there were none.
                if (value := 0 if count is None else number(count)) is not None:
                    counter.add_metric(identity, value)
        yield info
        yield from counters

    def _checked(self, replies: list[Reply]) -> list[Reply]:
        """Return the replies. Raises OSError when the server refuses us one of the commands."""
        for reply in replies:
            # A key of another type is none of RQ's, whatever its name.
            if isinstance(reply, ReplyError) and not str(reply).startswith("WRONGTYPE"):
                raise OSError(f"{self._place}: {reply}")
        return replies


def _names(members: Reply, prefix: bytes) -> list[bytes]:
    """Return the names in a set of keys, sorted, so that the same are left out each time."""
    keys = members if isinstance(members, (list, set)) else []
    return sorted(
        key.removeprefix(prefix)
        for key in keys
        if isinstance(key, bytes) and key.startswith(prefix)
    )
