"""Redis streams: their length, and how far behind their consumer groups are.

Fields: https://redis.io/docs/latest/commands/xinfo-stream/, xinfo-groups, xinfo-consumers.
"""

from collections.abc import Iterator, Mapping, Sequence

from gnomon_exporter.families import Metric
from gnomon_exporter.redis_keys import Key, KeyReader, shown
from gnomon_exporter.resp import Command, Reply, ReplyError

# Of each level the fields with name, help, type, and how many of the field's units make one of
# ours. An entry's id is the time in ms at which it was added, a dash and a sequence number.
_STREAM = {
    b"length": ("stream_length", "Entries in the stream.", "gauge", 1),
    b"radix-tree-keys": ("stream_radix_tree_keys", "Keys in the stream's tree.", "gauge", 1),
    b"radix-tree-nodes": ("stream_radix_tree_nodes", "Nodes in the stream's tree.", "gauge", 1),
    b"last-generated-id": ("stream_last_generated_id", "Newest id ever given, in ms.", "gauge", 1),
    b"max-deleted-entry-id": (
        "stream_max_deleted_entry_id",
        "Highest id of the entries deleted so far, in ms.",
        "gauge",
        1,
    ),
    b"entries-added": (
        "stream_entries_added_total",
        "Entries added in the stream's life.",
        "counter",
        1,
    ),
    b"first-entry": ("stream_first_entry_id", "Id of the oldest entry, in ms.", "gauge", 1),
    b"last-entry": ("stream_last_entry_id", "Id of the newest entry, in ms.", "gauge", 1),
    b"groups": ("stream_groups", "Consumer groups of the stream.", "gauge", 1),
}
_GROUP = {
    b"consumers": ("stream_group_consumers", "Consumers in the group.", "gauge", 1),
    b"pending": (
        "stream_group_messages_pending",
        "Entries delivered to the group and not acknowledged.",
        "gauge",
        1,
    ),
    b"last-delivered-id": (
        "stream_group_last_delivered_id",
        "Id of the entry delivered last to the group, in ms.",
        "gauge",
        1,
    ),
    b"entries-read": (
        "stream_group_entries_read",
        "Entries that the group has read in the stream's life.",
        "gauge",
        1,
    ),
    b"lag": ("stream_group_lag", "Entries that the group has still to read.", "gauge", 1),
}
_CONSUMER = {
    b"pending": (
        "stream_group_consumer_messages_pending",
        "Entries delivered to the consumer and not acknowledged.",
        "gauge",
        1,
    ),
    b"idle": (
        "stream_group_consumer_idle_seconds",
        "Time since the consumer last tried to read.",
        "gauge",
        1000,
    ),
}
_LABELS = ("db", "stream", "group", "consumer")
_Fields = Mapping[bytes, tuple[str, str, str, int]]


def families(reader: KeyReader, keys: Sequence[Key], *, consumers: bool) -> Iterator[Metric]:
    """Yield what Redis knows of each stream, its groups and, if asked for, their consumers.

    Redis does not always know a group's lag; then there is none. Raises OSError.
    """
    found: dict[str, Metric] = {}
    for group in reader.by_database(keys):
        names = [key.name for key in group]
        streams = _info(reader, [("XINFO", "STREAM", name) for name in names])
        groups = _info(reader, [("XINFO", "GROUPS", name) for name in names])
        members: list[tuple[Key, bytes]] = []
        for key, stream, its_groups in zip(group, streams, groups, strict=True):
            _add(found, _STREAM, stream, key.labels)
            for name, pairs in _named(its_groups):
                _add(found, _GROUP, pairs, (*key.labels, shown(name)))
                members.append((key, name))
        if not consumers:
            continue
        answers = _info(reader, [("XINFO", "CONSUMERS", key.name, name) for key, name in members])
        for (key, group_name), its_consumers in zip(members, answers, strict=True):
            for name, pairs in _named(its_consumers):
                _add(found, _CONSUMER, pairs, (*key.labels, shown(group_name), shown(name)))
    yield from found.values()


def _info(reader: KeyReader, commands: Sequence[Command]) -> list[list[Reply]]:
    """Return the lists that the commands answer, empty ones for those that fail."""
    lists = []
    for reply in reader.redis.ask(commands, reader.deadline):
        if isinstance(reply, ReplyError):
            reader.fault(reply)
        lists.append(reply if isinstance(reply, list) else [])
    return lists


def _named(items: list[Reply]) -> Iterator[tuple[bytes, list[Reply]]]:
    for item in items:
        if isinstance(item, list) and isinstance(name := _pairs(item).get(b"name"), bytes):
            yield name, item


def _pairs(flat: list[Reply]) -> dict[Reply, Reply]:
    """Return ``[b"length", 2, b"groups", 1]`` as a dictionary. RESP 2 has no such type."""
    keys = (key if isinstance(key, bytes) else b"" for key in flat[::2])
    return dict(zip(keys, flat[1::2], strict=False))


def _add(
    found: dict[str, Metric], fields: _Fields, flat: list[Reply], labels: Sequence[str]
) -> None:
    pairs = _pairs(flat)
    for field, (name, documentation, kind, unit) in fields.items():
        if (value := _number(pairs.get(field))) is not None:
            if name not in found:
                found[name] = Metric(f"redis_{name}", documentation, kind)
                found[name].labels = _LABELS[: len(labels)]
            found[name].add_metric(labels, value / unit)


def _number(reply: Reply) -> int | None:
    """Return a number, or the time in an entry's id, or in that of an entry; None for nothing."""
    match reply:
        case int(number):
            return number
        case bytes(entry_id) | [bytes(entry_id), *_]:
            time, _, _ = entry_id.partition(b"-")
            return int(time) if time.isdigit() else None
        case _:
            return None
