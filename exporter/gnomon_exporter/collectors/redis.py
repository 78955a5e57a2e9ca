"""A Redis or Valkey server, by its own protocol, under redis_exporter's names.

Where redis_exporter writes 0 for what Redis does not tell (the lag of a group, the first entry of
an empty stream), there is no series here; and the sum of a latency histogram counts the commands
whose names have more than letters, too. What it says about itself (redis_exporter_*) is the
business of gnomon_scrape_collector_*.
"""

import time
from collections.abc import Iterator, Mapping

from gnomon_exporter import redis_streams
from gnomon_exporter.client_connection import Tls
from gnomon_exporter.families import GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths
from gnomon_exporter.redis_info import (
    Sections,
    databases,
    families,
    labelled,
    number,
    numbers,
    pairs,
    sections,
    single,
)
from gnomon_exporter.redis_keys import KeyReader, parse_keys, shown
from gnomon_exporter.redis_login import Login
from gnomon_exporter.resp import Command, Reply, ReplyError

_CONFIG = ("io-threads", "maxclients", "maxmemory", "repl-backlog-size")
_OUTPUT_LIMIT = "client-output-buffer-limit"
_COMMANDLOGS = ("slow", "large-request", "large-reply")  # Valkey's


class RedisCollector:
    """A Redis or Valkey server: INFO, commands, latencies, replication, chosen keys, streams.

    address: redis://[user[:password]@]host[:port][/database], rediss:// for TLS, valkey:// and
    valkeys:// likewise, or unix:///path. A password is better off in password_file.
    username: ACL user; empty for the default one.
    password_file: file with nothing but the password, read at each login.
    server_timeout: seconds for the whole conversation; less than the collector's timeout, so
    that redis_up is there to say 0.
    keys: keys to measure, by name; ``db3=NAME`` is one in database 3.
    key_patterns: keys to measure, by glob pattern. Finding them is a SCAN of the database.
    key_limit: most keys and most streams that patterns may find.
    key_values: also report string values that are numbers. Other values are never reported.
    count_keys: glob patterns whose keys are counted, by SCAN.
    streams: streams to report, by name.
    stream_patterns: streams to report, by glob pattern.
    stream_consumers: report each consumer of a stream's groups.
    latency_histograms: report a histogram for each command.
    config: report limits from CONFIG GET.
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
        keys: tuple[str, ...] = (),
        key_patterns: tuple[str, ...] = (),
        key_limit: int = 10_000,
        key_values: bool = False,
        count_keys: tuple[str, ...] = (),
        streams: tuple[str, ...] = (),
        stream_patterns: tuple[str, ...] = (),
        stream_consumers: bool = True,
        latency_histograms: bool = True,
        config: bool = True,
        tls_ca_file: str = "",
        tls_cert_file: str = "",
        tls_key_file: str = "",
        tls_server_name: str = "",
        tls_insecure_skip_verify: bool = False,
    ) -> None:
        del paths  # a server is none of the host's files
        if server_timeout <= 0:
            raise ValueError("server_timeout: must be more than 0 seconds")
        tls = Tls(
            tls_ca_file, tls_cert_file, tls_key_file, tls_server_name, tls_insecure_skip_verify
        )
        login = Login(address, username=username, password_file=password_file, tls=tls)
        place = login.place
        self._keys = parse_keys("keys", keys, place.database)
        self._key_patterns = parse_keys("key_patterns", key_patterns, place.database)
        self._count_keys = parse_keys("count_keys", count_keys, place.database)
        self._streams = parse_keys("streams", streams, place.database)
        self._stream_patterns = parse_keys("stream_patterns", stream_patterns, place.database)
        self._key_limit = key_limit
        self._key_values = key_values
        self._stream_consumers = stream_consumers
        self._latency_histograms = latency_histograms
        self._config = config
        self._timeout = server_timeout
        self._address = place
        self._problems: list[str] = []

        self._redis = login.client()

    def collect(self) -> Iterator[Metric]:
        """Yield redis_up, then all that the server tells; raise what it does not.

        What was asked for by a setting and cannot be read is an OSError at the end. A command
        that the server refuses or does not know is left out: managed servers refuse many.
        """
        self._problems = []
        deadline = time.monotonic() + self._timeout
        up = "redis_up", "1 if the server answers and lets us in."
        try:
            info = self._info(deadline)
        except OSError:
            yield single("gauge", *up, 0)
            raise
        yield single("gauge", *up, 1)
        yield from families(info)
        is_cluster = info.get("Cluster", {}).get("cluster_enabled") == "1"
        count = 1 if is_cluster else 16  # the default, unless CONFIG says otherwise
        failure: OSError | None = None
        try:
            yield from self._statistics(info, deadline, is_cluster=is_cluster)
            yield from self._chosen(KeyReader(self._redis, deadline, self._problems.append))
            # Last, because some servers are slow to answer it or never do.
            config = self._read_config(deadline)
            yield from _limits(config)
            if not is_cluster:
                count = int(number(config.get("databases", "")) or count)
        except OSError as error:
            failure = error
        yield from databases(info.get("Keyspace", {}), count)
        if failure is not None:
            raise failure
        if self._problems:
            more = f" (and {len(self._problems) - 1} more)" if len(self._problems) > 1 else ""
            raise OSError(f"{self._address}: {self._problems[0][:200]}{more}")

    def _info(self, deadline: float) -> Sections:
        """Return what INFO says, nothing where we are let in but not to INFO. Raises OSError."""
        reply = self._redis.greet(("INFO", "ALL"), deadline)
        if isinstance(reply, ReplyError) and str(reply).startswith("NOAUTH"):
            self._redis.close()
            raise PermissionError(f"{self._address}: a password is needed")
        if not isinstance(reply, bytes) or not reply:
            reply = self._redis.ask([("INFO",)], deadline)[0]
        if not isinstance(reply, bytes):
            self._problems.append(f"INFO: {reply}")
            return {}
        return sections(reply.decode("utf-8", "replace"))

    def _statistics(self, info: Sections, deadline: float, *, is_cluster: bool) -> Iterator[Metric]:
        """Yield what other commands than INFO tell about the whole server. Raises OSError."""
        commands: dict[str, Command] = {
            "latest": ("LATENCY", "LATEST"),
            "length": ("SLOWLOG", "LEN"),
            "newest": ("SLOWLOG", "GET", 1),
        }
        if self._latency_histograms:
            commands["histogram"] = ("LATENCY", "HISTOGRAM")
        if is_cluster:
            commands["cluster"] = ("CLUSTER", "INFO")
        if _has_commandlog(info):
            commands |= {log: ("COMMANDLOG", "LEN", log) for log in _COMMANDLOGS}
        answers = self._redis.ask_if_allowed(list(commands.values()), deadline)
        replies = dict(zip(commands, answers, strict=True))
        yield from _spikes(replies["latest"])
        yield from _histograms(replies.get("histogram"), info.get("Commandstats", {}))
        yield from _slowlog(replies["length"], replies["newest"])
        if isinstance(cluster := replies.get("cluster"), bytes):
            for fields in sections(cluster.decode("utf-8", "replace")).values():
                yield from numbers(fields)
        for log in _COMMANDLOGS:
            if isinstance(length := replies.get(log), int):
                name = f"redis_commandlog_{log.replace('-', '_')}_length"
                yield single("gauge", name, f"Entries in the {log} command log.", length)

    def _chosen(self, reader: KeyReader) -> Iterator[Metric]:
        """Yield what the settings ask for. Raises OSError."""
        if keys := [*self._keys, *reader.matching(self._key_patterns, self._key_limit)]:
            yield from reader.sizes(keys, values=self._key_values)
        if self._count_keys:
            yield from reader.counts(self._count_keys)
        if keys := [*self._streams, *reader.matching(self._stream_patterns, self._key_limit)]:
            yield from redis_streams.families(reader, keys, consumers=self._stream_consumers)

    def _read_config(self, deadline: float) -> dict[str, str]:
        """Return the parameters that are reported and can be read. Raises OSError."""
        if not self._config:
            return {}
        # One by one: before Redis 7 one command takes one name, and "*" returns the passwords.
        names = (*_CONFIG, _OUTPUT_LIMIT, "databases")
        commands = [("CONFIG", "GET", name) for name in names]
        found = {}
        for reply in self._redis.ask_if_allowed(commands, deadline):
            match reply:
                case [bytes(name), bytes(value)]:
                    found[name.decode()] = value.decode("utf-8", "replace")
        return found


def _has_commandlog(info: Sections) -> bool:
    """Whether the server is a Valkey from 8.1 on: others would count the command as an error."""
    version = info.get("Server", {}).get("valkey_version", "")
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= (8, 1)


def _limits(config: Mapping[str, str]) -> Iterator[Metric]:
    """Yield the limits that were found in the server's configuration."""
    for name in _CONFIG:
        if (value := number(config.get(name, ""))) is not None:
            suffix = name.replace("-", "_")
            yield single(
                "gauge", f"redis_config_{suffix}", f"Parameter {name} of the configuration.", value
            )
    limits, seconds = (
        GaugeMetricFamily(
            f"redis_config_client_output_buffer_limit_{name}",
            documentation,
            labels=("class", "limit"),
        )
        for name, documentation in (
            ("bytes", "Size of a client's output buffer at which it is disconnected."),
            ("overcome_seconds", "Time for which a client may be over the soft limit."),
        )
    )
    # normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60
    words = iter(config.get(_OUTPUT_LIMIT, "").split())
    for kind, hard, soft, overcome in zip(words, words, words, words, strict=False):
        for family, limit, text in (
            (limits, "hard", hard),
            (limits, "soft", soft),
            (seconds, "soft", overcome),
        ):
            if (value := number(text)) is not None:
                family.add_metric((kind, limit), value)
    yield from (limits, seconds)


def _spikes(reply: Reply) -> Iterator[Metric]:
    """Yield the latest latency spike of each event that Redis watches."""
    last: dict[str, float] = {}
    duration: dict[str, float] = {}
    for event in reply if isinstance(reply, list) else ():
        match event:
            case [bytes(event_name), int(when), int(milliseconds), *_]:
                last[shown(event_name)] = when
                duration[shown(event_name)] = milliseconds / 1e3
    for name, documentation, values in (
        ("redis_latency_spike_last", "Unix time of the latest spike.", last),
        ("redis_latency_spike_duration_seconds", "Duration of the latest spike.", duration),
    ):
        yield labelled("gauge", name, documentation, "event_name", values)


def _histograms(reply: Reply, commands: Mapping[str, str]) -> Iterator[Metric]:
    """Yield how long the calls of each command took."""
    name = "redis_commands_latencies_usec"
    family = Metric(name, "Duration of the command's calls in microseconds.", "histogram")
    totals = _microseconds(commands)
    flat = reply if isinstance(reply, list) else []
    for command, details in zip(flat[::2], flat[1::2], strict=False):
        match command, details:
            case bytes(), [_, int(calls), _, list(buckets)]:
                labels = {"cmd": shown(command)}
                for limit, count in zip(buckets[::2], buckets[1::2], strict=False):
                    le = {**labels, "le": _bound(limit)}
                    family.add_sample(f"{name}_bucket", le, count)
                family.add_sample(f"{name}_bucket", {**labels, "le": "+Inf"}, calls)
                if (total := totals.get(labels["cmd"])) is not None:
                    family.add_sample(f"{name}_sum", labels, total)
                family.add_sample(f"{name}_count", labels, calls)
    yield family


def _microseconds(commands: Mapping[str, str]) -> dict[str, float]:
    """Return the time spent in each command; in one with subcommands, theirs together."""
    totals: dict[str, float] = {}
    for field, text in commands.items():
        command = field.removeprefix("cmdstat_")
        if (spent := pairs(text).get("usec")) is not None:
            for name in {command, command.partition("|")[0]}:
                totals[name] = totals.get(name, 0.0) + spent
    return totals


def _bound(microseconds: int) -> str:
    """Write a bucket's bound as Go does, whose label is part of the series' name."""
    digits = str(microseconds)
    if len(digits) <= 6:
        return digits
    mantissa = f"{digits[0]}.{digits[1:]}".rstrip("0").rstrip(".")
    return f"{mantissa}e+{len(digits) - 1:02}"


def _slowlog(length: Reply, newest: Reply) -> Iterator[Metric]:
    """Yield the length of the slow log and its newest entry, 0 for none as redis_exporter."""
    if isinstance(length, int):
        yield single("gauge", "redis_slowlog_length", "Entries in the slow log.", length)
    match newest:
        case [[int(newest_id), _, int(microseconds), *_], *_]:
            pass
        case []:
            newest_id = microseconds = 0
        case _:
            return
    yield single("gauge", "redis_slowlog_last_id", "Id of the newest slow command.", newest_id)
    yield single(
        "gauge",
        "redis_last_slow_execution_duration_seconds",
        "Duration of the newest slow command.",
        microseconds / 1e6,
    )
