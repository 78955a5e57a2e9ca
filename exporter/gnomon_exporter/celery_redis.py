"""Redis as Celery's broker: lists for queues, PUBLISH for events, as kombu uses them.

Read with the client that the redis collector has. With kombu and the redis-py that it needs, the
same takes 20 MiB more of resident memory.
"""

import time
import uuid
from collections.abc import Sequence

from gnomon_exporter.celery_broker import Names, Queues
from gnomon_exporter.celery_messages import (
    QUESTIONS,
    Answers,
    Content,
    question,
    unwrapped,
    wrapped,
)
from gnomon_exporter.redis_login import Login
from gnomon_exporter.resp import Command, Redis, ReplyError

#: Between the parts of kombu's keys: a queue and its priority, the parts of a binding.
SEPARATOR = "\x06\x16"
#: Most answers that are read; there are two for each worker.
_ANSWERS = 10_000
#: Seconds after which a silent broker is asked for a sign of life.
_SILENCE = 15.0


class RedisBroker:
    """Queues and workers by way of Redis; see ``Broker``.

    priorities: the steps of the transport's priority_steps. Each has a list of its own, the
    lowest under the queue's bare name.
    """

    def __init__(
        self, login: Login, names: Names, *, priorities: Sequence[int], separator: str
    ) -> None:
        self._redis = login.client()
        self._place = login.place
        self._names = names
        self._priorities = priorities
        self._separator = separator
        self._address = f"gnomon.{uuid.uuid4()}"

    def greet(self, deadline: float) -> None:
        """Connect, or see that the kept connection still stands."""
        _enter(self._redis, ("PING",), self._place, deadline)
        try:
            self._redis.select(self._place.database, deadline)
        except ReplyError as error:
            raise OSError(f"{self._place}: {error}") from None

    def queues(self, names: Sequence[str], deadline: float) -> Queues:
        """Return the lengths; a queue without a list is empty, for Redis keeps no empty lists."""
        prefix = self._names.key_prefix
        commands: list[Command] = [
            ("LLEN", self._list(name, step)) for name in names for step in self._priorities
        ]
        commands.append(("HLEN", f"{prefix}unacked"))
        replies = self._redis.ask(commands, deadline)
        found = Queues()
        lengths = iter(replies)
        for name in names:
            by_step = {step: next(lengths) for step in self._priorities}
            counts = {step: count for step, count in by_step.items() if isinstance(count, int)}
            if len(counts) == len(by_step):  # a key of another type is no queue
                found.by_priority[name] = counts
                found.length[name] = sum(counts.values())
        if isinstance(replies[-1], int):
            found.unacknowledged = replies[-1]
        refusal = next((reply for reply in replies if _is_refusal(reply)), None)
        if refusal is not None:
            raise OSError(f"{self._place}: {refusal}")
        return found

    def ask(self, deadline: float) -> None:
        """Put the questions to the workers, who answer into a list of ours."""
        control, prefix = self._names.control, self._names.key_prefix
        channel = f"{prefix}/{self._place.database}.{control}"
        commands: list[Command] = [("SADD", *self._binding())]
        for method in QUESTIONS:
            body = question(method, self._names.replies, self._address)
            commands.append(("PUBLISH", channel, wrapped(body, control)))
        self._redis.ask(commands, deadline)

    def answers(self, deadline: float) -> Answers:
        """Return what has been answered, and take our list away, so that no more come."""
        inbox = self._inbox()
        replies = self._redis.ask(
            [
                ("SREM", *self._binding()),
                ("LRANGE", self._names.key_prefix + inbox, 0, _ANSWERS - 1),
                ("DEL", self._names.key_prefix + inbox),
            ],
            deadline,
        )
        found = Answers()
        for envelope in replies[1] if isinstance(replies[1], list) else ():
            if isinstance(envelope, bytes):
                found.take(unwrapped(envelope))
        return found

    def _list(self, queue: str, step: int) -> bytes:
        name = f"{self._names.key_prefix}{queue}"
        return (f"{name}{self._separator}{step}" if step else name).encode("utf-8", "replace")

    def _inbox(self) -> str:
        return f"{self._address}.{self._names.replies}"

    def _binding(self) -> tuple[str, str]:
        """Return the key of the answers' bindings and ours: routing key, pattern, queue."""
        key = f"{self._names.key_prefix}_kombu.binding.{self._names.replies}"
        return key, SEPARATOR.join((self._address, "", self._inbox()))


class RedisEvents:
    """A subscription to the events; see ``Events``."""

    def __init__(self, login: Login, names: Names, *, timeout: float) -> None:
        self._redis = login.client()
        self._place = login.place
        channel = f"{names.key_prefix}/{login.place.database}.{names.events}"
        # kombu adds the event's type to the channel, unless fanout_patterns is off.
        self._patterns = (_literal(channel), f"{_literal(channel)}/*")
        self._timeout = timeout
        self._heard = 0.0

    def open(self) -> None:
        """Subscribe."""
        self._redis.close()
        deadline = time.monotonic() + self._timeout
        _enter(self._redis, ("PING",), self._place, deadline)
        _enter(self._redis, ("PSUBSCRIBE", *self._patterns), self._place, deadline)
        self._heard = time.monotonic()

    def receive(self, seconds: float) -> Sequence[Content | None]:
        """Return the messages; see ``Events``."""
        found = self._redis.pushed(seconds)
        if not found and time.monotonic() - self._heard > _SILENCE:
            found = self._redis.ask([("PING",)], time.monotonic() + self._timeout)
        if found:
            self._heard = time.monotonic()
        return [
            unwrapped(push[3])
            for push in found
            if isinstance(push, list) and len(push) == 4 and push[0] == b"pmessage"
        ]

    def close(self) -> None:
        """Hang up."""
        self._redis.close()


def _enter(redis: Redis, command: Command, place: object, deadline: float) -> None:
    """Say something at the beginning. Raises OSError when we are not let in."""
    reply = redis.greet(command, deadline)
    if isinstance(reply, ReplyError):
        redis.close()
        raise PermissionError(f"{place}: {reply}")


def _is_refusal(reply: object) -> bool:
    return isinstance(reply, ReplyError) and not str(reply).startswith("WRONGTYPE")


def _literal(text: str) -> str:
    """Return a glob pattern that means this text."""
    return "".join(f"\\{letter}" if letter in "*?[]^-\\" else letter for letter in text)
