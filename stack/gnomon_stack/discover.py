"""What this machine has beside its host metrics: GPUs, and servers on their default ports."""

import os
import re
import socket
import time
from dataclasses import dataclass

from gnomon_stack.parts import HOST

# Seconds for one conversation. Who listens on loopback and is well answers in a thousandth.
_PATIENCE = 0.5
# RQ's list of its queues; where Celery's messages, events and remote control are bound.
_RQ = b"rq:queues"
_CELERY = b"_kombu.binding.celery _kombu.binding.celeryev _kombu.binding.celery.pidbox"
_REDIS = b"PING\r\nEXISTS %b\r\nEXISTS %b\r\n" % (_RQ, _CELERY)
_MEMCACHED = b"version\r\n"
_AMQP = b"AMQP\x00\x00\x09\x01"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where servers listen that nobody has moved."""

    redis: int = 6379
    memcached: int = 11211
    amqp: int = 5672


@dataclass(frozen=True, slots=True)
class Found:
    """What is here.

    gpus: how many NVIDIA GPUs. redis: a Redis or Valkey that lets us in. redis_locked: one that
    asks for a password. rq, celery: their queues are in that Redis. amqp: a broker, as RabbitMQ is.
    """

    gpus: int = 0
    redis: bool = False
    redis_locked: bool = False
    rq: bool = False
    celery: bool = False
    memcached: bool = False
    amqp: bool = False


def look(ports: Ports, root: str = "/") -> Found:
    """Return what is here, within two seconds; nothing but loopback is asked.

    root: where /proc and /dev are.
    """
    redis = _answer(ports.redis, _REDIS, lines=3).split(b"\r\n")
    lets_in = redis[0] == b"+PONG" and len(redis) > 3
    amqp = _answer(ports.amqp, _AMQP)
    return Found(
        gpus=_gpus(root),
        # One that still reads its data from disk is one, too.
        redis=redis[0].startswith((b"+PONG", b"-LOADING", b"-MASTERDOWN")),
        redis_locked=redis[0].startswith((b"-NOAUTH", b"-NOPERM")),
        rq=lets_in and redis[1] == b":1",
        celery=lets_in and redis[2] in {b":1", b":2", b":3"},
        memcached=_answer(ports.memcached, _MEMCACHED, lines=1).startswith(b"VERSION "),
        # A frame with its greeting, or the version that it speaks instead.
        amqp=amqp.startswith((b"\x01\x00\x00", b"AMQP")),
    )


def _gpus(root: str) -> int:
    """Count what NVIDIA's driver lists, or, in sandboxes that hide the list, its devices."""
    for folder, name in (("proc/driver/nvidia/gpus", ".*"), ("dev", "nvidia[0-9]+")):
        try:
            names = os.listdir(os.path.join(root, folder))
        except OSError:
            continue
        if count := sum(re.fullmatch(name, each) is not None for each in names):
            return count
    return 0


def _answer(port: int, question: bytes, lines: int = 0) -> bytes:
    """Return what a server says to a question, until there are so many lines; b"" for none."""
    end = time.monotonic() + _PATIENCE
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=_PATIENCE) as connection:
            connection.sendall(question)
            while not answer or answer.count(b"\r\n") < lines:
                connection.settimeout(max(end - time.monotonic(), 0.001))
                data = connection.recv(4096)
                if not data:
                    break
                answer += data
    except OSError:
        pass  # nobody there, or somebody else
    return answer
