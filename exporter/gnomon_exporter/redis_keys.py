"""The chosen keys of a Redis: which there are, and how large."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.redis_info import number
from gnomon_exporter.resp import Command, Redis, ReplyError

#: Told of what was asked for and cannot be had.
Complain = Callable[[str], None]

_SIZE_OF = {
    b"string": "STRLEN",
    b"list": "LLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"hash": "HLEN",
    b"stream": "XLEN",
    b"array": "ARCOUNT",
}
#: Keys that one step of SCAN looks at. Redis serves nobody else meanwhile.
_SCAN_STEP = 1000
#: Longest string that may be a number, in bytes.
_LONGEST_NUMBER = 64


class Key(NamedTuple):
    """A key, or a pattern of keys, in a database."""

    database: int
    name: bytes

    @property
    def labels(self) -> tuple[str, str]:
        """The values of the labels db and key, or db and stream."""
        return f"db{self.database}", shown(self.name)


def parse_keys(setting: str, entries: Sequence[str], database: int) -> list[Key]:
    """Return the keys in entries like ``name`` and ``db3=name``, which stands in database 3.

    Raises ValueError.
    """
    keys = []
    for entry in entries:
        match = re.fullmatch(r"(?:(?:db)?([0-9]+)=)?(.*)", entry, re.DOTALL)
        if match is None or not match[2]:
            raise ValueError(f"{setting}: {entry!r} names no key: write NAME or dbNUMBER=NAME")
        keys.append(Key(int(match[1] or database), match[2].encode()))
    return keys


class KeyReader:
    """Reads keys over one connection, ``redis``, within one deadline.

    Keys that are not there, or that are another cluster node's, have no series and are no fault.
    """

    def __init__(self, redis: Redis, deadline: float, complain: Complain) -> None:
        self.redis = redis
        self.deadline = deadline
        self._complain = complain

    def matching(self, patterns: Sequence[Key], limit: int) -> list[Key]:
        """Return the keys that match, each once, at most ``limit`` of them. Raises OSError."""
        found: dict[Key, None] = {}
        for pattern in patterns:
            for names in self._scan(pattern):
                found.update((Key(pattern.database, name), None) for name in names)
                if len(found) > limit:
                    self._complain(f"patterns match more than {limit} keys: the rest is left out")
                    return list(found)[:limit]
        return list(found)

    def counts(self, patterns: Sequence[Key]) -> Iterator[Metric]:
        """Yield how many keys match each pattern. Raises OSError."""
        family = GaugeMetricFamily(
            "redis_keys_count", "Keys that match the pattern.", labels=("db", "key")
        )
        for pattern in patterns:
            count = sum(map(len, self._scan(pattern)))
            family.add_metric(pattern.labels, count)
        yield family

    def sizes(self, keys: Sequence[Key], *, values: bool) -> Iterator[Metric]:
        """Yield length and memory of each key, with ``values`` also those that are numbers.

        What was read before an error is yielded before it is raised. Raises OSError.
        """
        size, memory, value = (
            GaugeMetricFamily(f"redis_key_{name}", documentation, labels=("db", "key"))
            for name, documentation in (
                ("size", "Length of the key's value, by its type."),
                ("memory_usage_bytes", "Memory that the key takes."),
                ("value", "The key's value, if it is a number."),
            )
        )
        failure: OSError | None = None
        try:
            for group in self.by_database(keys):
                self._measure(group, size, memory, value if values else None)
        except OSError as error:
            failure = error
        yield from (size, memory, value)
        if failure is not None:
            raise failure

    def _scan(self, pattern: Key) -> Iterator[list[bytes]]:
        """Yield the names that match, some at a time; a name may come twice."""
        cursor = b"0"
        try:
            self.redis.select(pattern.database, self.deadline)
        except ReplyError as error:
            self._complain(f"database {pattern.database}: {error}")
            return
        while True:
            command = ("SCAN", cursor, "MATCH", pattern.name, "COUNT", _SCAN_STEP)
            match self.redis.ask([command], self.deadline)[0]:
                case [bytes(cursor), list(names)]:
                    yield names
                    if cursor == b"0":
                        return
                case reply:
                    self._complain(f"SCAN: {reply}")
                    return

    def by_database(self, keys: Sequence[Key]) -> Iterator[list[Key]]:
        """Yield the keys of one database after the other, having selected it."""
        groups: dict[int, dict[Key, None]] = {}
        for key in keys:
            groups.setdefault(key.database, {})[key] = None
        for database, group in groups.items():
            try:
                self.redis.select(database, self.deadline)
            except ReplyError as error:
                self._complain(f"database {database}: {error}")
            else:
                yield list(group)

    def _measure(
        self, keys: Sequence[Key], size: Metric, memory: Metric, value: Metric | None
    ) -> None:
        types = self.redis.ask([("TYPE", key.name) for key in keys], self.deadline)
        self._read_memory(keys, memory)
        commands: list[Command] = []
        asked: list[Key] = []
        for key, kind in zip(keys, types, strict=True):
            if isinstance(kind, ReplyError):
                self.fault(kind)
            elif isinstance(kind, bytes) and kind in _SIZE_OF:
                asked.append(key)
                commands.append((_SIZE_OF[kind], key.name))
                if kind == b"string":
                    # Its beginning tells a HyperLogLog and may be a number. PFCOUNT on all
                    # strings would tell too, but count as an error in the server's statistics.
                    asked.append(key)
                    commands.append(("GETRANGE", key.name, 0, _LONGEST_NUMBER - 1))
        lengths: dict[Key, int] = {}
        beginnings: dict[Key, bytes] = {}
        for key, reply in zip(asked, self.redis.ask(commands, self.deadline), strict=True):
            match reply:
                case int(length):
                    lengths[key] = length
                case bytes(beginning):
                    beginnings[key] = beginning
                case ReplyError() as error:
                    self.fault(error)
        lengths |= self._cardinalities([k for k, text in beginnings.items() if text[:4] == b"HYLL"])
        for key, length in lengths.items():
            size.add_metric(key.labels, length)
            text = beginnings.get(key, b"")
            if value is not None and 0 < length <= _LONGEST_NUMBER and b"_" not in text:
                content = number(text.decode("ascii", "replace"))
                if content is not None:
                    value.add_metric(key.labels, content)

    def _read_memory(self, keys: Sequence[Key], memory: Metric) -> None:
        # The first goes alone: where the command is refused, it is so once and not for each key.
        for part in (keys[:1], keys[1:]):
            commands = [("MEMORY", "USAGE", key.name) for key in part]
            replies = self.redis.ask_if_allowed(commands, self.deadline)
            for key, reply in zip(part, replies, strict=True):
                if isinstance(reply, int):
                    memory.add_metric(key.labels, reply)

    def _cardinalities(self, keys: Sequence[Key]) -> dict[Key, int]:
        """Return the elements that HyperLogLogs have seen. A string may only look like one."""
        replies = self.redis.ask([("PFCOUNT", key.name) for key in keys], self.deadline)
        return {key: r for key, r in zip(keys, replies, strict=True) if isinstance(r, int)}

    def fault(self, error: ReplyError) -> None:
        """Note an error reply, unless it says that the key is not there."""
        text = str(error)
        if not text.startswith(("MOVED", "ASK", "CROSSSLOT")) and "no such key" not in text:
            self._complain(text)


def shown(name: bytes) -> str:
    """Return a name as a label: bytes that are not UTF-8 in hexadecimal, so that no two meet."""
    return name.decode("utf-8", "backslashreplace")
