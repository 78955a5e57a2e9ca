"""A memcached server, by its text protocol, under memcached_exporter's names.

Fields: https://github.com/memcached/memcached/blob/master/doc/protocol.txt. Types are
memcached_exporter's, also where a gauge is called a counter (mem_requested, evicted_time).

The client is a dozen lines here: pymemcache has a timeout for each read but none for a scrape,
and looks for keys on servers, which statistics have no use for.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

from gnomon_exporter.client_connection import ANSWER_LIMIT, ClientConnection, parse_address
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily, Metric
from gnomon_exporter.paths import Paths

_COMMANDS = ("stats", "stats slabs", "stats items", "stats settings")
_ENDS = ("END", "ERROR", "CLIENT_ERROR", "SERVER_ERROR")

# Fields of `stats`, with the type and the name without memcached_.
_STATS = {
    "uptime": ("counter", "uptime_seconds"),
    "time": ("gauge", "time_seconds"),
    "rusage_user": ("counter", "process_user_cpu_seconds_total"),
    "rusage_system": ("counter", "process_system_cpu_seconds_total"),
    "bytes": ("gauge", "current_bytes"),
    "limit_maxbytes": ("gauge", "limit_bytes"),
    "curr_items": ("gauge", "current_items"),
    "total_items": ("counter", "items_total"),
    "bytes_read": ("counter", "read_bytes_total"),
    "bytes_written": ("counter", "written_bytes_total"),
    "curr_connections": ("gauge", "current_connections"),
    "total_connections": ("counter", "connections_total"),
    "rejected_connections": ("counter", "connections_rejected_total"),
    "conn_yields": ("counter", "connections_yielded_total"),
    "listen_disabled_num": ("counter", "connections_listener_disabled_total"),
    "accepting_conns": ("gauge", "accepting_connections"),
    "evictions": ("counter", "items_evicted_total"),
    "reclaimed": ("counter", "items_reclaimed_total"),
    "store_too_large": ("counter", "item_too_large_total"),
    "store_no_memory": ("counter", "item_no_memory_total"),
    "total_malloced": ("gauge", "malloced_bytes"),  # this one is in `stats slabs`
    "direct_reclaims": ("counter", "direct_reclaims_total"),
    "lru_crawler_starts": ("counter", "lru_crawler_starts_total"),
    "crawler_items_checked": ("counter", "lru_crawler_items_checked_total"),
    "crawler_reclaimed": ("counter", "lru_crawler_reclaimed_total"),
    "moves_to_cold": ("counter", "lru_crawler_moves_to_cold_total"),
    "moves_to_warm": ("counter", "lru_crawler_moves_to_warm_total"),
    "moves_within_lru": ("counter", "lru_crawler_moves_within_lru_total"),
    # Only with storage on flash.
    "extstore_compact_lost": ("counter", "extstore_compact_lost_total"),
    "extstore_compact_rescues": ("counter", "extstore_compact_rescued_total"),
    "extstore_compact_skipped": ("counter", "extstore_compact_skipped_total"),
    "extstore_page_allocs": ("counter", "extstore_pages_allocated_total"),
    "extstore_page_evictions": ("counter", "extstore_pages_evicted_total"),
    "extstore_page_reclaims": ("counter", "extstore_pages_reclaimed_total"),
    "extstore_pages_free": ("gauge", "extstore_pages_free"),
    "extstore_pages_used": ("gauge", "extstore_pages_used"),
    "extstore_objects_evicted": ("counter", "extstore_objects_evicted_total"),
    "extstore_objects_read": ("counter", "extstore_objects_read_total"),
    "extstore_objects_written": ("counter", "extstore_objects_written_total"),
    "extstore_objects_used": ("gauge", "extstore_objects_used"),
    "extstore_bytes_evicted": ("counter", "extstore_bytes_evicted_total"),
    "extstore_bytes_written": ("counter", "extstore_bytes_written_total"),
    "extstore_bytes_read": ("counter", "extstore_bytes_read_total"),
    "extstore_bytes_used": ("counter", "extstore_bytes_used"),
    "extstore_bytes_fragmented": ("gauge", "extstore_bytes_fragmented"),
    "extstore_limit_maxbytes": ("gauge", "extstore_bytes_limit"),
    "extstore_io_queue": ("gauge", "extstore_io_queue_depth"),
}
# Fields that memcached_exporter reports of a proxy only, though others have the last two.
_PROXY = {
    "proxy_conn_requests": ("counter", "proxy_conn_requests_total"),
    "proxy_conn_errors": ("counter", "proxy_conn_errors_total"),
    "proxy_conn_oom": ("counter", "proxy_conn_oom_total"),
    "proxy_req_active": ("gauge", "proxy_req_active"),
    "proxy_config_reloads": ("counter", "proxy_config_reloads_total"),
    "proxy_config_reload_fails": ("counter", "proxy_config_reload_fails_total"),
    "proxy_config_cron_runs": ("counter", "proxy_config_cron_runs_total"),
    "proxy_config_cron_fails": ("counter", "proxy_config_cron_fails_total"),
    "proxy_backend_total": ("gauge", "proxy_backend_total"),
    "proxy_backend_marked_bad": ("counter", "proxy_backend_marked_bad_total"),
    "proxy_backend_failed": ("gauge", "proxy_backend_failed"),
    "proxy_request_failed_depth": ("counter", "proxy_request_failed_depth_total"),
    "round_robin_fallback": ("counter", "round_robin_fallback_total"),
    "unexpected_napi_ids": ("counter", "unexpected_napi_ids_total"),
}
_SLABS = {
    "chunk_size": ("gauge", "slab_chunk_size_bytes"),
    "chunks_per_page": ("gauge", "slab_chunks_per_page"),
    "total_pages": ("gauge", "slab_current_pages"),
    "total_chunks": ("gauge", "slab_current_chunks"),
    "used_chunks": ("gauge", "slab_chunks_used"),
    "free_chunks": ("gauge", "slab_chunks_free"),
    "free_chunks_end": ("gauge", "slab_chunks_free_end"),
}
_ITEMS = {
    "number": ("gauge", "slab_current_items"),
    "age": ("gauge", "slab_items_age_seconds"),
    "crawler_reclaimed": ("counter", "slab_items_crawler_reclaimed_total"),
    "evicted": ("counter", "slab_items_evicted_total"),
    "evicted_nonzero": ("counter", "slab_items_evicted_nonzero_total"),
    "evicted_time": ("counter", "slab_items_evicted_time_seconds"),
    "evicted_unfetched": ("counter", "slab_items_evicted_unfetched_total"),
    "expired_unfetched": ("counter", "slab_items_expired_unfetched_total"),
    "outofmemory": ("counter", "slab_items_outofmemory_total"),
    "reclaimed": ("counter", "slab_items_reclaimed_total"),
    "tailrepairs": ("counter", "slab_items_tailrepairs_total"),
    "mem_requested": ("counter", "slab_mem_requested_bytes"),
    "moves_to_cold": ("counter", "slab_items_moves_to_cold"),
    "moves_to_warm": ("counter", "slab_items_moves_to_warm"),
    "moves_within_lru": ("counter", "slab_items_moves_within_lru"),
    "number_hot": ("gauge", "slab_hot_items"),
    "number_warm": ("gauge", "slab_warm_items"),
    "number_cold": ("gauge", "slab_cold_items"),
    "number_temp": ("gauge", "slab_temporary_items"),
    "age_hot": ("gauge", "slab_hot_age_seconds"),
    "age_warm": ("gauge", "slab_warm_age_seconds"),
}
# Settings that count only while the crawler is on.
_CRAWLER = {
    "lru_crawler": ("gauge", "lru_crawler_enabled"),
    "lru_crawler_sleep": ("gauge", "lru_crawler_sleep"),
    "lru_crawler_tocrawl": ("gauge", "lru_crawler_to_crawl"),
    "lru_maintainer_thread": ("gauge", "lru_crawler_maintainer_thread"),
    "hot_lru_pct": ("gauge", "lru_crawler_hot_percent"),
    "warm_lru_pct": ("gauge", "lru_crawler_warm_percent"),
    "hot_max_factor": ("gauge", "lru_crawler_hot_max_factor"),
    "warm_max_factor": ("gauge", "lru_crawler_warm_max_factor"),
}
# Of `stats` and `stats slabs`; the latter counts no misses, for a miss is in no slab.
_REQUESTS = {
    f"{command}_{field}": (command, status)
    for command in ("get", "delete", "incr", "decr", "cas", "touch")
    for field, status in (("hits", "hit"), ("misses", "miss"))
} | {"cas_badval": ("cas", "badval"), "cmd_flush": ("flush", "hit")}
_LRU = {"hits_to_hot": "hot", "hits_to_warm": "warm", "hits_to_cold": "cold"} | {
    "hits_to_temp": "temporary"
}

_Table = Mapping[str, tuple[str, str]]
_Fields = Mapping[str, str]


class MemcachedCollector:
    """A memcached server: memory, items, evictions, requests, connections, slab classes.

    address: host:port, or the path of a Unix socket.
    server_timeout: seconds for the whole conversation; less than the collector's timeout, so
    that memcached_up is there to say 0.
    """

    def __init__(
        self, paths: Paths, *, address: str = "127.0.0.1:11211", server_timeout: float = 3.0
    ) -> None:
        del paths  # a server is none of the host's files
        try:
            place = parse_address(address, schemes={"memcached": False}, port=11211)
        except ValueError as error:
            raise ValueError(f"address: {error}") from None
        if place.username or place.password or place.database:
            raise ValueError("address: memcached has neither users nor databases: write host:port")
        if server_timeout <= 0:
            raise ValueError("server_timeout: must be more than 0 seconds")
        self._timeout = server_timeout
        self._connection = ClientConnection(place)

    def collect(self) -> Iterator[Metric]:
        """Yield memcached_up, then what the server tells. Raises OSError after memcached_up 0."""
        up = "up", "1 if the server answers."
        try:
            stats, slabs, items, settings = self._ask(time.monotonic() + self._timeout)
        except OSError:
            yield _single("gauge", *up, 0)
            raise
        yield _single("gauge", *up, 1)
        family = GaugeMetricFamily(
            "memcached_version", "What the server is; the value is 1.", labels=("version",)
        )
        if version := stats.get("version"):
            family.add_metric((version,), 1)
        yield family
        yield from _numbers({**slabs, **stats}, _STATS)
        if "proxy_backend_total" in stats:
            yield from _numbers(stats, _PROXY)
        yield _requests("memcached_commands_total", {"": stats})
        yield from _numbers(settings, {"maxconns": ("gauge", "max_connections")})
        if settings.get("lru_crawler") == "yes":
            yield from _numbers(settings, _CRAWLER)
        by_slab = _by_slab(slabs, "")
        yield from _labelled(by_slab, _SLABS)
        yield _requests("memcached_slab_commands_total", by_slab)
        by_slab = _by_slab(items, "items:")
        yield from _labelled(by_slab, _ITEMS)
        yield _lru_hits(by_slab)

    def _ask(self, deadline: float) -> Sequence[_Fields]:
        """Return the answers to all commands, an empty one where a proxy knows no such command.

        The kept connection may be that of a server that has since restarted: then it breaks, and
        another is made. Silence is not tried twice. Raises OSError.
        """
        if self._connection.is_open:
            try:
                return self._exchange(deadline)
            except ConnectionError:
                pass
        self._connection.open(deadline)
        return self._exchange(deadline)

    def _exchange(self, deadline: float) -> Sequence[_Fields]:
        self._connection.send("".join(f"{c}\r\n" for c in _COMMANDS).encode(), deadline)
        answers: list[dict[str, str]] = [{}]
        rest, size = b"", 0
        while len(answers) <= len(_COMMANDS):
            data = self._connection.receive(deadline)
            size += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                word, _, field = line.decode("utf-8", "replace").rstrip("\r").partition(" ")
                if word == "STAT":
                    name, _, value = field.partition(" ")
                    answers[-1][name] = value
                elif word in _ENDS:
                    answers.append({})
                else:
                    size = ANSWER_LIMIT + 1
            if size > ANSWER_LIMIT or len(rest) > 65536:
                self._connection.close()
                raise OSError(f"{self._connection.address}: the answer is not memcached's")
        if not answers[0]:
            raise OSError(f"{self._connection.address}: refuses the command stats")
        return answers[: len(_COMMANDS)]


def _number(text: str) -> float | None:
    """Return a field's number, 1 for yes and 0 for no, None for any other word."""
    if text in ("yes", "no"):
        return float(text == "yes")
    try:
        return float(text)
    except ValueError:
        return None


def _single(kind: str, name: str, documentation: str, value: float) -> Metric:
    family = Metric(f"memcached_{name}", documentation, kind)
    family.add_metric((), value)
    return family


def _numbers(fields: _Fields, table: _Table) -> Iterator[Metric]:
    for field, (kind, name) in table.items():
        if (value := _number(fields.get(field, ""))) is not None:
            yield _single(kind, name, f"Field {field} of memcached's statistics.", value)


def _by_slab(fields: _Fields, prefix: str) -> Mapping[str, Mapping[str, str]]:
    """Return by slab class the fields ``1:chunk_size`` or ``items:1:number``."""
    slabs: dict[str, dict[str, str]] = {}
    for field, value in fields.items():
        slab, colon, name = field.removeprefix(prefix).partition(":")
        if colon and slab.isdigit():
            slabs.setdefault(slab, {})[name] = value
    return slabs


def _labelled(slabs: Mapping[str, _Fields], table: _Table) -> Iterator[Metric]:
    for field, (kind, name) in table.items():
        family = Metric(f"memcached_{name}", f"Field {field} of a slab class.", kind)
        family.labels = ("slab",)
        for slab, fields in slabs.items():
            if (value := _number(fields.get(field, ""))) is not None:
                family.add_metric((slab,), value)
        yield family


def _requests(name: str, slabs: Mapping[str, _Fields]) -> Metric:
    """Return requests by command and outcome, of each slab class or of "", the server."""
    family = CounterMetricFamily(name, "Requests by command and outcome.")
    for slab, fields in slabs.items():
        labels = (slab,) if slab else ()
        family.labels = ("slab", "command", "status") if slab else ("command", "status")
        for field, (command, status) in _REQUESTS.items():
            if (value := _number(fields.get(field, ""))) is not None:
                family.add_metric((*labels, command, status), value)
        # memcached counts each cas as a set, too.
        cas = ("cas_hits", "cas_badval") if slab else ("cas_misses", "cas_hits", "cas_badval")
        counts = [_number(fields.get(field, "")) for field in ("cmd_set", *cas)]
        if None not in counts:
            sets, *others = (count or 0.0 for count in counts)
            value = sets - sum(others)
            family.add_metric((*labels, "set", "hit"), value)
    return family


def _lru_hits(slabs: Mapping[str, _Fields]) -> Metric:
    family = CounterMetricFamily(
        "memcached_slab_lru_hits_total",
        "Hits by the part of the LRU that the item was in.",
        labels=("slab", "lru"),
    )
    for slab, fields in slabs.items():
        for field, lru in _LRU.items():
            if (value := _number(fields.get(field, ""))) is not None:
                family.add_metric((slab, lru), value)
    return family
