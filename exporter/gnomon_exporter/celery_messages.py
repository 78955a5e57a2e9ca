"""Celery's messages: events read from their JSON, questions to the workers and their answers."""

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Largest message that is read, in bytes: a batch of events is a few kilobytes.
MESSAGE_LIMIT = 1 << 20

#: What the workers are asked: the shape of their pools, and which queues they consume.
QUESTIONS = ("stats", "active_queues")


class Content(NamedTuple):
    """A message's body, as its sender serialised it."""

    kind: str
    body: bytes


def events_in(content: Content) -> list[object] | None:
    """Return the events of a message, None if it is not JSON or too large.

    Pickle, which Celery can speak too, would run what its sender likes.
    """
    if content.kind != "application/json" or len(content.body) > MESSAGE_LIMIT:
        return None
    try:
        found = json.loads(content.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else [found]


def unwrapped(envelope: bytes) -> Content | None:
    """Return the content of a message as kombu wraps it for Redis; None if it is none."""
    if len(envelope) > 2 * MESSAGE_LIMIT:
        return None
    try:
        message = json.loads(envelope)
        body = message["body"]
        is_base64 = message["properties"].get("body_encoding") == "base64"
        return Content(
            message["content-type"],
            base64.b64decode(body) if is_base64 else body.encode(),
        )
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError, binascii.Error):
        return None


def wrapped(body: bytes, exchange: str) -> bytes:
    """Return a message in JSON as kombu wraps it for Redis."""
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"clock": 1, "expires": 0},
            "properties": {
                "body_encoding": "base64",
                "delivery_info": {"exchange": exchange, "routing_key": ""},
                "delivery_mode": 1,
                "delivery_tag": str(uuid.uuid4()),
                "priority": 0,
            },
        }
    ).encode()


def question(method: str, exchange: str, routing_key: str) -> bytes:
    """Return the body of a question to all workers, who answer to that exchange and key."""
    return json.dumps(
        {
            "method": method,
            "arguments": {},
            "destination": None,
            "pattern": None,
            "matcher": None,
            "ticket": str(uuid.uuid4()),
            "reply_to": {"exchange": exchange, "routing_key": routing_key},
        }
    ).encode()


class Answers:
    """What the workers answered: by node.

    queues: those that it consumes. processes: how many its pool has, where it has any.
    concurrency: how many tasks it runs at once, whether in processes, threads or greenlets.
    """

    def __init__(self) -> None:
        self.queues: dict[str, list[str]] = {}
        self.processes: dict[str, int] = {}
        self.concurrency: dict[str, int] = {}

    def take(self, content: Content | None) -> None:
        """Add an answer, which is one node's; leave out what is none."""
        found = events_in(content) if content else None
        for answer in found or ():
            if isinstance(answer, Mapping):
                for node, value in answer.items():
                    if isinstance(value, list):
                        names = [q.get("name") for q in value if isinstance(q, Mapping)]
                        self.queues[node] = [name for name in names if isinstance(name, str)]
                    elif isinstance(value, Mapping):
                        self._pool(node, value.get("pool"))

    def _pool(self, node: str, pool: Any) -> None:
        if isinstance(pool, Mapping):
            if isinstance(processes := pool.get("processes"), list):
                self.processes[node] = len(processes)
            if isinstance(most := pool.get("max-concurrency"), int) and 0 <= most < 1 << 32:
                self.concurrency[node] = most
