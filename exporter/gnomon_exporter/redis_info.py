"""Redis' INFO as metric families, under redis_exporter's names.

Fields: https://redis.io/docs/latest/commands/info/. Of Valkey's and KeyDB's own, those that
redis_exporter knows. A value that is not a number, and a field that this server does not have,
are left out.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from gnomon_exporter.families import GaugeMetricFamily, Metric

Sections = Mapping[str, Mapping[str, str]]

# Gauges whose name is the field's.
_GAUGES = """
    uptime_in_seconds process_id io_threads_active configured_hz hz
    connected_clients blocked_clients tracking_clients clients_in_timeout_table pubsub_clients
    watching_clients total_watched_keys total_blocking_keys total_blocking_keys_on_nokey
    client_longest_output_list client_biggest_input_buf
    allocator_frag_ratio allocator_rss_ratio
    number_of_cached_scripts number_of_functions number_of_libraries
    mem_fragmentation_ratio mem_fragmentation_bytes mem_clients_slaves mem_clients_normal
    allocator_frag_bytes allocator_rss_bytes
    lazyfree_pending_objects lazyfreed_objects active_defrag_running
    async_loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_bgsave_status
    aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled aof_pending_rewrite
    aof_buffer_length aof_rewrite_buffer_length aof_pending_bio_fsync aof_delayed_fsync
    aof_last_bgrewrite_status aof_last_write_status
    module_fork_in_progress module_fork_last_cow_size
    pubsub_channels pubsub_patterns pubsubshard_channels
    tracking_total_keys tracking_total_items tracking_total_prefixes
    instantaneous_eventloop_cycles_per_sec instantaneous_eventloop_duration_usec
    connected_slaves repl_backlog_first_byte_offset master_repl_offset second_repl_offset
    slave_expires_tracked_keys slave_priority
    current_client_thread
"""

# Gauges that redis_exporter calls otherwise, mostly to give the unit.
_RENAMED_GAUGES = {
    "maxclients": "max_clients",
    "client_recent_max_output_buffer": "client_recent_max_output_buffer_bytes",
    "client_recent_max_input_buffer": "client_recent_max_input_buffer_bytes",
    "allocator_active": "allocator_active_bytes",
    "allocator_allocated": "allocator_allocated_bytes",
    "allocator_resident": "allocator_resident_bytes",
    "allocator_muzzy": "allocator_muzzy_bytes",
    "used_memory": "memory_used_bytes",
    "used_memory_rss": "memory_used_rss_bytes",
    "used_memory_peak": "memory_used_peak_bytes",
    "used_memory_lua": "memory_used_lua_bytes",
    "used_memory_vm_eval": "memory_used_vm_eval_bytes",
    "used_memory_scripts_eval": "memory_used_scripts_eval_bytes",
    "used_memory_overhead": "memory_used_overhead_bytes",
    "used_memory_startup": "memory_used_startup_bytes",
    "used_memory_dataset": "memory_used_dataset_bytes",
    "used_memory_vm_functions": "memory_used_vm_functions_bytes",
    "used_memory_scripts": "memory_used_scripts_bytes",
    "used_memory_functions": "memory_used_functions_bytes",
    "used_memory_vm_total": "memory_used_vm_total",
    "maxmemory": "memory_max_bytes",
    "maxmemory_reservation": "memory_max_reservation_bytes",
    "maxmemory_desired_reservation": "memory_max_reservation_desired_bytes",
    "maxfragmentationmemory_reservation": "memory_max_fragmentation_reservation_bytes",
    "maxfragmentationmemory_desired_reservation": (
        "memory_max_fragmentation_reservation_desired_bytes"
    ),
    "mem_cluster_links": "mem_cluster_links_bytes",
    "mem_aof_buffer": "mem_aof_buffer_bytes",
    "mem_replication_backlog": "mem_replication_backlog_bytes",
    "mem_not_counted_for_evict": "mem_not_counted_for_eviction_bytes",
    "mem_total_replication_buffers": "mem_total_replication_buffers_bytes",
    "mem_overhead_db_hashtable_rehashing": "mem_overhead_db_hashtable_rehashing_bytes",
    "expired_stale_perc": "expired_stale_percentage",
    "migrate_cached_sockets": "migrate_cached_sockets_total",
    "active_defrag_hits": "defrag_hits",
    "active_defrag_misses": "defrag_misses",
    "active_defrag_key_hits": "defrag_key_hits",
    "active_defrag_key_misses": "defrag_key_misses",
    "loading": "loading_dump_file",
    "rdb_last_save_time": "rdb_last_save_timestamp_seconds",
    "rdb_last_bgsave_time_sec": "rdb_last_bgsave_duration_sec",
    "rdb_current_bgsave_time_sec": "rdb_current_bgsave_duration_sec",
    "rdb_saves": "rdb_saves_total",
    "rdb_last_cow_size": "rdb_last_cow_size_bytes",
    "rdb_last_load_keys_expired": "rdb_last_load_expired_keys",
    "rdb_last_load_keys_loaded": "rdb_last_load_loaded_keys",
    "aof_last_rewrite_time_sec": "aof_last_rewrite_duration_sec",
    "aof_current_rewrite_time_sec": "aof_current_rewrite_duration_sec",
    "aof_last_cow_size": "aof_last_cow_size_bytes",
    "aof_current_size": "aof_current_size_bytes",
    "aof_base_size": "aof_base_size_bytes",
    "current_eviction_exceeded_time": "current_eviction_exceeded_time_ms",
    "latest_fork_usec": "latest_fork_seconds",
    "repl_backlog_size": "replication_backlog_bytes",
    "repl_backlog_active": "repl_backlog_is_active",
    "repl_backlog_histlen": "repl_backlog_history_bytes",
    "sync_full": "replica_resyncs_full",
    "sync_partial_ok": "replica_partial_resync_accepted",
    "sync_partial_err": "replica_partial_resync_denied",
    "cluster_stats_messages_sent": "cluster_messages_sent_total",
    "cluster_stats_messages_received": "cluster_messages_received_total",
    "server_threads": "server_threads_total",
    "long_lock_waits": "long_lock_waits_total",
}

# Counters whose name is the field's, without _total at the end.
_BARE_COUNTERS = """
    unexpected_error_replies total_error_replies dump_payload_sanitizations
    total_reads_processed total_writes_processed
    io_threaded_reads_processed io_threaded_writes_processed
    storage_provider_read_hits storage_provider_read_misses
"""

# Counters whose name is the field's with _total.
_COUNTERS = """
    rejected_connections expired_subkeys expired_keys evicted_keys evicted_clients
    evicted_scripts keyspace_hits keyspace_misses eventloop_cycles
    client_query_buffer_limit_disconnections client_output_buffer_limit_disconnections
    reply_buffer_shrinks reply_buffer_expands acl_access_denied_auth acl_access_denied_cmd
    acl_access_denied_key acl_access_denied_channel cached_keys
"""

_RENAMED_COUNTERS = {
    "total_connections_received": "connections_received_total",
    "total_commands_processed": "commands_processed_total",
    "total_net_input_bytes": "net_input_bytes_total",
    "total_net_output_bytes": "net_output_bytes_total",
    "total_net_repl_input_bytes": "net_repl_input_bytes_total",
    "total_net_repl_output_bytes": "net_repl_output_bytes_total",
    "expired_time_cap_reached_count": "expired_time_cap_reached_total",
    "expire_cycle_cpu_milliseconds": "expire_cycle_cpu_time_ms_total",
    "total_eviction_exceeded_time": "eviction_exceeded_time_ms_total",
    "eventloop_duration_sum": "eventloop_duration_sum_usec_total",
    "eventloop_duration_cmd_sum": "eventloop_duration_cmd_sum_usec_total",
    "used_cpu_sys": "cpu_sys_seconds_total",
    "used_cpu_user": "cpu_user_seconds_total",
    "used_cpu_sys_children": "cpu_sys_children_seconds_total",
    "used_cpu_user_children": "cpu_user_children_seconds_total",
    "used_cpu_sys_main_thread": "cpu_sys_main_thread_seconds_total",
    "used_cpu_user_main_thread": "cpu_user_main_thread_seconds_total",
    "used_active_time_main_thread": "active_time_main_thread_seconds_total",
}

#: Type and name, without redis_, of the fields that stand for one number of the whole server.
_NAMES: Mapping[str, tuple[str, str]] = {
    **{field: ("gauge", field) for field in _GAUGES.split()},
    **{field: ("gauge", name) for field, name in _RENAMED_GAUGES.items()},
    **{field: ("counter", field) for field in _BARE_COUNTERS.split()},
    **{field: ("counter", f"{field}_total") for field in _COUNTERS.split()},
    **{field: ("counter", name) for field, name in _RENAMED_COUNTERS.items()},
}
_WORDS = {"ok": 1.0, "true": 1.0, "err": 0.0, "fail": 0.0, "false": 0.0}
_INSTANCE = """
    role redis_version redis_build_id redis_mode os maxmemory_policy tcp_port run_id process_id
    master_replid
"""
_MASTER = re.compile(r"master(?:_[0-9]+)?_(.+)")  # KeyDB has several masters, numbered from 1
_REPLICA = re.compile(r"slave[0-9]+")
_IO_THREAD = re.compile(r"used_active_time_io_thread_([0-9]+)")


def sections(text: str) -> Sections:
    """Return the fields of each section. Of a field that comes twice, the last holds."""
    found: dict[str, dict[str, str]] = {}
    fields = found.setdefault("", {})
    for line in map(str.strip, text.split("\n")):
        if line.startswith("#"):
            fields = found.setdefault(line[1:].lstrip(), {})
        elif ":" in line:
            field, _, value = line.partition(":")
            fields[field] = value
    return found


def families(info: Sections) -> Iterator[Metric]:
    """Yield what INFO says, but for the databases."""
    for name, fields in info.items():
        if name not in _READERS:
            yield from numbers(fields)
    for section, reader in _READERS.items():
        yield from reader(info.get(section, {}))
    yield from _latencies(info.get("Latencystats", {}), info.get("Commandstats", {}))
    yield from _instance(
        {field: text for fields in info.values() for field, text in fields.items()}
    )


def databases(fields: Mapping[str, str], count: int) -> Iterator[Metric]:
    """Yield the keys of each database, out of section Keyspace.

    count: how many databases the server has. Of an empty one INFO says nothing.
    """
    empty: Mapping[str, float] = {"keys": 0.0, "expires": 0.0}
    found = {f"db{index}": empty for index in range(count)}
    for name, text in fields.items():
        if re.fullmatch("db[0-9]+", name):
            found[name] = pairs(text)
    for key, family, documentation, unit in (
        ("keys", "redis_db_keys", "Keys in the database.", 1.0),
        ("expires", "redis_db_keys_expiring", "Keys in the database that will expire.", 1.0),
        ("cached_keys", "redis_db_keys_cached", "Keys in the database held in memory.", 1.0),
        ("avg_ttl", "redis_db_avg_ttl_seconds", "Mean time to live of the expiring keys.", 1e3),
    ):
        yield labelled(
            "gauge",
            family,
            documentation,
            "db",
            {name: values[key] / unit for name, values in found.items() if key in values},
        )


def numbers(fields: Mapping[str, str]) -> Iterator[Metric]:
    """Yield a family for each field that stands for one number of the whole server."""
    threads: dict[str, float] = {}
    for field, text in fields.items():
        value = number(text)
        if value is None:
            continue
        if field in _NAMES:
            kind, name = _NAMES[field]
            if field == "latest_fork_usec":
                value /= 1e6
            yield single(kind, f"redis_{name}", f"Field {field} of INFO.", value)
        elif field.startswith("cluster_"):
            yield single("gauge", f"redis_{_sanitised(field)}", f"Field {field[:80]}.", value)
        elif match := _IO_THREAD.fullmatch(field):
            threads[match[1]] = value
        if field == "uptime_in_seconds":
            yield single(
                "gauge",
                "redis_start_time_seconds",
                "Unix time when the server started.",
                int(time.time()) - value,
            )
    yield labelled(
        "counter",
        "redis_active_time_io_thread_seconds_total",
        "Time that the server's IO thread was busy.",
        "thread",
        threads,
    )


def number(text: str) -> float | None:
    """Return a field's number, 1 or 0 for a yes or no, None for any other word."""
    try:
        return _WORDS[text] if text in _WORDS else float(text)
    except ValueError:
        return None


@lru_cache(maxsize=512)
def pairs(text: str) -> Mapping[str, float]:
    """Return the numbers in ``calls=21,usec=175``.

    Remembered: a command's statistics are asked for three times in a scrape, and most commands'
    have not changed since the last.
    """
    parts = (pair.partition("=") for pair in text.split(","))
    return {key: value for key, _, word in parts if (value := number(word)) is not None}


def single(kind: str, name: str, documentation: str, value: float) -> Metric:
    """Return a family of one sample without labels, named to the letter."""
    family = Metric(name, documentation, kind)
    family.add_metric((), value)
    return family


def labelled(
    kind: str, name: str, documentation: str, label: str, values: Mapping[str, float]
) -> Metric:
    """Return a family with one label and a sample for each of its values."""
    family = Metric(name, documentation, kind)
    family.labels = (label,)
    for text, value in values.items():
        family.add_metric((text,), value)
    return family


def _replication(fields: Mapping[str, str]) -> Iterator[Metric]:
    """Yield the links to a replica's masters and to a master's replicas."""
    rest = {}
    links: dict[str, dict[tuple[str, str], float]] = {}
    replicas: dict[str, dict[tuple[str, str, str], float]] = {}
    host = port = ""
    for field, text in fields.items():
        match = _MASTER.fullmatch(field)
        what = match[1] if match else field
        # A master's other fields follow its host and port.
        if match and what == "host":
            host = text
        elif match and what == "port":
            port = text
        elif match and what == "link_status":
            links.setdefault("master_link_up", {})[host, port] = float(text == "up")
        elif what in ("last_io_seconds_ago", "sync_in_progress", "slave_repl_offset"):
            name = f"master_{what}" if match else what
            if (value := number(text)) is not None:
                links.setdefault(name, {})[host, port] = value
        elif _REPLICA.fullmatch(field):
            replica = dict(pair.partition("=")[::2] for pair in text.split(","))
            key = replica.get("ip", ""), replica.get("port", ""), replica.get("state", "")
            for name, unit in (("offset", "bytes"), ("lag", "seconds")):
                if (value := number(replica.get(name, ""))) is not None:
                    replicas.setdefault(f"connected_slave_{name}_{unit}", {})[key] = value
        else:
            rest[field] = text
    yield from numbers(rest)
    for name, by_master in links.items():
        labels = ("master_host", "master_port")
        link = GaugeMetricFamily(f"redis_{name}", f"Field {name} of INFO.", labels=labels)
        link.rows.extend(by_master.items())
        yield link
    for name, by_replica in replicas.items():
        documentation = f"Its {name.split('_')[2]}, of a replica that follows this server."
        names = ("slave_ip", "slave_port", "slave_state")
        follower = GaugeMetricFamily(f"redis_{name}", documentation, labels=names)
        follower.rows.extend(by_replica.items())
        yield follower


def _commands(fields: Mapping[str, str]) -> Iterator[Metric]:
    commands = {
        field.removeprefix("cmdstat_"): pairs(text)
        for field, text in fields.items()
        if field.startswith("cmdstat_")
    }
    for key, name, documentation, unit in (
        ("calls", "redis_commands_total", "Calls of the command.", 1.0),
        (
            "usec",
            "redis_commands_duration_seconds_total",
            "Time that the server spent in the command.",
            1e6,
        ),
        (
            "rejected_calls",
            "redis_commands_rejected_calls_total",
            "Calls of the command that were refused before they ran.",
            1.0,
        ),
        (
            "failed_calls",
            "redis_commands_failed_calls_total",
            "Calls of the command that ran into an error.",
            1.0,
        ),
    ):
        yield labelled(
            "counter",
            name,
            documentation,
            "cmd",
            {command: values[key] / unit for command, values in commands.items() if key in values},
        )


def _errors(fields: Mapping[str, str]) -> Iterator[Metric]:
    counts = {
        field.removeprefix("errorstat_"): values["count"]
        for field, text in fields.items()
        if field.startswith("errorstat_") and "count" in (values := pairs(text))
    }
    yield labelled("counter", "redis_errors_total", "Error replies by their code.", "err", counts)


def _latencies(latencies: Mapping[str, str], commands: Mapping[str, str]) -> Iterator[Metric]:
    """Yield the percentiles of each command's duration, as redis_exporter: quantile 50 is p50."""
    name = "redis_latency_percentiles_usec"
    family = Metric(name, "Duration of the command's calls in microseconds.", "summary")
    for field, text in latencies.items():
        command = field.removeprefix("latency_percentiles_usec_")
        totals = pairs(commands.get(f"cmdstat_{command}", ""))
        if command == field or not totals.keys() >= {"calls", "usec"}:
            continue
        for percentile, value in pairs(text).items():
            family.add_sample(name, {"cmd": command, "quantile": percentile[1:]}, value)
        family.add_sample(f"{name}_sum", {"cmd": command}, totals["usec"])
        family.add_sample(f"{name}_count", {"cmd": command}, totals["calls"])
    yield family


def _instance(fields: Mapping[str, str]) -> Iterator[Metric]:
    if "redis_version" not in fields:
        return
    names = _INSTANCE.split() + [
        name for name in ("valkey_version", "valkey_release_stage") if name in fields
    ]
    family = GaugeMetricFamily(
        "redis_instance_info", "What the server is; the value is 1.", labels=names
    )
    family.add_metric([fields.get(field, "") for field in names], 1)
    yield family
    if fields.get("role") == "slave":
        labels = {"master_host": "master_host", "master_port": "master_port"}
        labels["read_only"] = "slave_read_only"
        family = GaugeMetricFamily(
            "redis_slave_info", "What the replica follows; the value is 1.", labels=tuple(labels)
        )
        family.add_metric([fields.get(field, "") for field in labels.values()], 1)
        yield family


def _nothing(_: Mapping[str, str]) -> Iterator[Metric]:
    return iter(())


#: The sections that are more than a list of numbers.
_READERS: Mapping[str, Callable[[Mapping[str, str]], Iterator[Metric]]] = {
    "Replication": _replication,
    "Commandstats": _commands,
    "Errorstats": _errors,
    "Latencystats": _nothing,  # read with the command statistics
    "Keyspace": _nothing,  # read when the number of databases is known
}


def _sanitised(field: str) -> str:
    return re.sub("[^a-zA-Z0-9_]", "_", field)
