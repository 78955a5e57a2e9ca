"""The redis collector, against real servers."""

import json
import math
import os
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from caches import redis_server, replaying, say, silent_server
from certificates import Authority
from gnomon_exporter.collectors.redis import RedisCollector, _bound
from gnomon_exporter.exposition import render, write
from gnomon_exporter.paths import Paths

ABSENT = None
FIXTURES = Path(__file__).parents[1] / "fixtures"


class Page:
    """What a collector yielded, how it ended, and its text as a parser sees it."""

    def __init__(self, collector):
        families = []
        self.error = ""
        try:
            for family in collector.collect():
                write(family)
                families.append(family)
        except OSError as error:
            self.error = str(error)
        self.text = render(families).decode()
        self.samples = {}
        self.types = {}
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                self.types[sample.name] = family.type
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.samples, f"{key} comes twice"
                self.samples[key] = sample.value

    def value(self, name, **labels):
        return self.samples.get((name, frozenset(labels.items())), ABSENT)

    def labels(self, name):
        return [dict(labels) for found, labels in self.samples if found == name]


def scrape(port, **settings):
    """Collect once from the server on a port of loopback."""
    return Page(RedisCollector(Paths(), address=f"redis://127.0.0.1:{port}", **settings))


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A Redis with a key of each type in database 0, and some in database 3."""
    directory = tmp_path_factory.mktemp("redis")
    with redis_server(directory, "--enable-debug-command", "local") as (port, _):
        say(
            port,
            "SET number 42.5",
            "SET word hello",
            "RPUSH list a b c",
            "SADD set a b",
            "ZADD zset 1 a",
            "HSET hash a 1 b 2",
            "PFADD hll a b c d",
            "SET looks-like-hll HYLLO",
            "XADD stream 1000-0 a 1",
            "XADD stream 2000-5 a 1",
            "XADD stream 3000-0 a 1",
            "XGROUP CREATE stream readers 0",
            "XREADGROUP GROUP readers anna COUNT 2 STREAMS stream >",
            "XACK stream readers 1000-0",
            "XGROUP CREATE stream late 1500-0",
            "CONFIG SET maxmemory 100mb",
            "NOSUCHCOMMAND",
            "SELECT 3",
            "SET number 7",
            "SET expiring 1 EX 1000",
        )
        yield port


def test_reports_info_under_redis_exporters_names(port):
    """Gauges and counters of INFO have the names, types and units of redis_exporter."""
    page = scrape(port)
    assert page.error == ""
    assert page.value("redis_up") == 1
    assert page.value("redis_memory_max_bytes") == 100 * 1024 * 1024
    assert page.value("redis_connected_clients") >= 1
    assert page.value("redis_blocked_clients") == 0
    assert page.value("redis_memory_used_bytes") > 500_000
    assert page.value("redis_mem_fragmentation_ratio") > 0
    assert page.types["redis_memory_used_bytes"] == "gauge"
    for name in (
        "redis_keyspace_hits_total",
        "redis_keyspace_misses_total",
        "redis_evicted_keys_total",
        "redis_expired_keys_total",
        "redis_rejected_connections_total",
        "redis_commands_processed_total",
        "redis_net_input_bytes_total",
        "redis_net_output_bytes_total",
        "redis_cpu_user_seconds_total",
    ):
        assert page.types[name] == "counter", name
        assert page.value(name) >= 0
    # A counter that redis_exporter spells without _total stays without.
    assert "\nredis_total_error_replies " in page.text
    assert abs(page.value("redis_start_time_seconds") - time.time()) < 600
    (info,) = page.labels("redis_instance_info")
    assert info["role"] == "master"
    assert info["tcp_port"] == str(port)
    assert info["redis_mode"] == "standalone"


def test_reports_each_database(port):
    """Keys, expiring keys and mean time to live by database; the empty ones have 0 keys."""
    page = scrape(port)
    assert page.value("redis_db_keys", db="db0") == 9
    assert page.value("redis_db_keys", db="db3") == 2
    assert page.value("redis_db_keys_expiring", db="db3") == 1
    assert 0 <= page.value("redis_db_avg_ttl_seconds", db="db3") <= 1000
    assert page.value("redis_db_keys", db="db15") == 0
    assert page.value("redis_db_avg_ttl_seconds", db="db15") is ABSENT
    assert page.value("redis_db_keys", db="db16") is ABSENT


def test_reports_each_command(port):
    """Calls, duration, failures, percentiles and a histogram by command."""
    page = scrape(port)
    assert page.value("redis_commands_total", cmd="pfadd") == 1
    assert 0 < page.value("redis_commands_duration_seconds_total", cmd="pfadd") < 1
    assert page.value("redis_commands_failed_calls_total", cmd="pfadd") == 0
    assert page.value("redis_commands_rejected_calls_total", cmd="pfadd") == 0
    assert page.value("redis_errors_total", err="ERR") >= 1
    name = "redis_latency_percentiles_usec"
    assert page.types[name] == "summary"
    assert page.value(name, cmd="pfadd", quantile="99.9") > 0
    assert page.value(f"{name}_count", cmd="pfadd") == 1
    name = "redis_commands_latencies_usec"
    assert page.types[f"{name}_bucket"] == "histogram"
    assert page.value(f"{name}_bucket", cmd="pfadd", le="+Inf") == 1
    assert page.value(f"{name}_sum", cmd="pfadd") == pytest.approx(
        page.value("redis_commands_duration_seconds_total", cmd="pfadd") * 1e6
    )
    assert "_latencies_usec" not in scrape(port, latency_histograms=False).text


@pytest.mark.parametrize(
    ("microseconds", "bound"),
    [
        (1, "1"),
        (524_288, "524288"),
        (1_000_000, "1e+06"),
        (1_073_741, "1.073741e+06"),
        (20_000_000_000, "2e+10"),
    ],
)
def test_writes_bounds_of_buckets_as_go_does(microseconds, bound):
    """From a million on a bound is in scientific notation, as in Go's strconv, format g."""
    assert _bound(microseconds) == bound


def test_measures_the_chosen_keys(port):
    """Each type has its length; a HyperLogLog its cardinality; absent keys have no series."""
    page = scrape(
        port,
        keys=("number", "word", "looks-like-hll", "db3=number", "nosuchkey"),
        key_patterns=("l?st", "*set", "h*", "stream"),
    )
    assert page.error == ""
    sizes = {
        (labels["db"], labels["key"]): page.value("redis_key_size", **labels)
        for labels in page.labels("redis_key_size")
    }
    assert sizes == {
        ("db0", "number"): 4,
        ("db0", "word"): 5,
        ("db0", "looks-like-hll"): 5,
        ("db3", "number"): 1,
        ("db0", "list"): 3,
        ("db0", "set"): 2,
        ("db0", "zset"): 1,
        ("db0", "hash"): 2,
        ("db0", "hll"): 4,
        ("db0", "stream"): 3,
    }
    assert page.value("redis_key_memory_usage_bytes", db="db0", key="list") > 0
    assert "redis_key_value" not in page.text


def test_reports_values_only_if_asked_and_only_numbers(port):
    """With key_values a number is reported; a text never is, for it may be a secret."""
    page = scrape(port, keys=("number", "word", "db3=number"), key_values=True)
    assert page.value("redis_key_value", db="db0", key="number") == 42.5
    assert page.value("redis_key_value", db="db3", key="number") == 7
    assert page.value("redis_key_value", db="db0", key="word") is ABSENT
    assert "hello" not in page.text


def test_counts_keys_by_pattern(port):
    """count_keys says how many keys match, without measuring them."""
    page = scrape(port, count_keys=("*set", "db3=*"))
    assert page.value("redis_keys_count", db="db0", key="*set") == 2
    assert page.value("redis_keys_count", db="db3", key="*") == 2


def test_measuring_makes_no_errors_in_the_servers_statistics(port):
    """A scrape of all keys leaves Redis' own error counters as they were."""
    settings = {"key_patterns": ("*",), "streams": ("stream", "nosuchstream")}
    collector = RedisCollector(Paths(), address=f"redis://127.0.0.1:{port}", **settings)
    # PFCOUNT on the string that looks like a HyperLogLog fails, and so does XINFO on no stream.
    first = Page(collector).value("redis_total_error_replies_total")
    say(port, "DEL looks-like-hll")
    try:
        del settings["streams"]
        collector = RedisCollector(Paths(), address=f"redis://127.0.0.1:{port}", **settings)
        before = Page(collector).value("redis_total_error_replies_total")
        after = Page(collector).value("redis_total_error_replies_total")
        assert after == before > first
    finally:
        say(port, "SET looks-like-hll HYLLO")


def test_reports_streams_and_how_far_behind_their_groups_are(port):
    """Length, lag, pending entries and consumers, all as XINFO says."""
    page = scrape(port, streams=("stream",))
    stream = {"db": "db0", "stream": "stream"}
    assert page.value("redis_stream_length", **stream) == 3
    assert page.value("redis_stream_groups", **stream) == 2
    assert page.value("redis_stream_first_entry_id", **stream) == 1000
    assert page.value("redis_stream_last_entry_id", **stream) == 3000
    assert page.value("redis_stream_entries_added_total", **stream) == 3
    assert page.types["redis_stream_entries_added_total"] == "counter"
    group = {**stream, "group": "readers"}
    assert page.value("redis_stream_group_lag", **group) == 1
    assert page.value("redis_stream_group_messages_pending", **group) == 1
    assert page.value("redis_stream_group_consumers", **group) == 1
    assert page.value("redis_stream_group_last_delivered_id", **group) == 2000
    anna = {**group, "consumer": "anna"}
    assert page.value("redis_stream_group_consumer_messages_pending", **anna) == 1
    assert 0 <= page.value("redis_stream_group_consumer_idle_seconds", **anna) < 600
    assert "anna" not in scrape(port, streams=("stream",), stream_consumers=False).text


def test_a_lag_that_redis_does_not_know_is_absent(port):
    """A group made in the middle of a stream has an unknown lag, which is not 0."""
    page = scrape(port, stream_patterns=("str*",))
    late = {"db": "db0", "stream": "stream", "group": "late"}
    assert page.value("redis_stream_group_messages_pending", **late) == 0
    assert page.value("redis_stream_group_lag", **late) is ABSENT


def test_reports_limits_slow_log_and_spikes(port):
    """CONFIG, SLOWLOG and LATENCY have their series, all of them without the settings' secrets."""
    say(port, "CONFIG SET latency-monitor-threshold 10", "DEBUG SLEEP 0.05")
    page = scrape(port)
    assert page.value("redis_config_maxclients") > 0
    assert page.value("redis_config_maxmemory") == 100 * 1024 * 1024
    name = "redis_config_client_output_buffer_limit"
    replicas = {"class": "slave"}
    assert page.value(f"{name}_bytes", limit="hard", **replicas) == 256 * 1024 * 1024
    assert page.value(f"{name}_overcome_seconds", limit="soft", **replicas) == 60
    assert page.value("redis_slowlog_length") >= 1
    assert page.value("redis_last_slow_execution_duration_seconds") >= 0.05
    assert page.value("redis_latency_spike_duration_seconds", event_name="command") >= 0.05


def test_keeps_one_connection_between_scrapes(port):
    """Scrapes do not connect anew, and the names of the clients say who we are."""
    collector = RedisCollector(Paths(), address=f"redis://127.0.0.1:{port}")
    name = "redis_connections_received_total"
    first = Page(collector).value(name)
    assert Page(collector).value(name) == first
    assert b"name=gnomon-exporter" in say(port, "CLIENT LIST")


def test_reaches_a_unix_socket(tmp_path):
    """unix:// and a bare path lead to the server's socket."""
    with redis_server(tmp_path):
        for address in (f"unix://{tmp_path}/redis.sock?db=2", f"{tmp_path}/redis.sock"):
            page = Page(RedisCollector(Paths(), address=address))
            assert (page.error, page.value("redis_up")) == ("", 1)


def test_sees_replication_from_both_ends(tmp_path):
    """A replica tells of its master's link, a master of its replica's offset and lag."""
    (tmp_path / "replica").mkdir()
    with (
        redis_server(tmp_path, "--repl-diskless-sync-delay", "0") as (master, _),
        redis_server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(master)) as (replica, _),
    ):
        link = {"master_host": "127.0.0.1", "master_port": str(master)}
        end = time.monotonic() + 30
        while (page := scrape(replica)).value("redis_master_link_up", **link) != 1:
            assert time.monotonic() < end, page.text
            time.sleep(0.1)
        assert page.value("redis_slave_repl_offset", **link) >= 0
        assert page.value("redis_master_sync_in_progress", **link) == 0
        assert page.value("redis_master_last_io_seconds_ago", **link) >= 0
        assert page.value("redis_slave_info", read_only="1", **link) == 1
        follower = {"slave_ip": "127.0.0.1", "slave_port": str(replica), "slave_state": "online"}
        while (page := scrape(master)).value(
            "redis_connected_slave_lag_seconds", **follower
        ) is None:
            assert time.monotonic() < end, page.text
            time.sleep(0.1)
        assert page.value("redis_connected_slave_offset_bytes", **follower) >= 0
        assert page.value("redis_connected_slaves") == 1


def test_reports_a_cluster_node(tmp_path, free_port):
    """A node of a cluster has one database and its view of the cluster."""
    # Left alone it would listen on a port 10,000 higher, which there may not be.
    options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    with redis_server(tmp_path, *options) as (port, _):
        page = scrape(port)
        assert page.error == ""
        assert page.value("redis_cluster_enabled") == 1
        assert page.value("redis_cluster_state") == 0  # no slot is served
        assert page.value("redis_cluster_known_nodes") == 1
        assert page.labels("redis_db_keys") == [{"db": "db0"}]


# What goes wrong.


def test_no_server_is_down(free_port):
    """A refused connection is redis_up 0 and an error with the address."""
    port = free_port()
    page = scrape(port)
    assert page.text.splitlines()[-1] == "redis_up 0"
    assert page.error == f"127.0.0.1:{port}: Connection refused"


def test_a_silent_server_is_down_within_the_timeout():
    """A server that takes the connection and says nothing is down when the time is over."""
    with silent_server() as port:
        started = time.monotonic()
        page = scrape(port, server_timeout=0.3)
        assert time.monotonic() - started < 5 * 0.3
    assert page.value("redis_up") == 0
    assert page.error == f"127.0.0.1:{port}: no answer in time"


def test_a_black_holed_server_is_down_within_the_timeout():
    """Where not even the connection is answered, the server is down when the time is over."""
    # A full backlog drops further connections' first packets, as a firewall does.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = []
        try:
            for _ in range(3):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
                waiting.append(client)
            started = time.monotonic()
            page = scrape(port, server_timeout=0.3)
            assert time.monotonic() - started < 5 * 0.3
        finally:
            for client in waiting:
                client.close()
    assert page.value("redis_up") == 0
    assert "no answer in time" in page.error


def test_a_server_that_trickles_is_down_within_the_timeout():
    """The time is for the whole answer: a byte now and then does not prolong it."""
    with trickling_server(b"$1000\r\n") as port:
        started = time.monotonic()
        page = scrape(port, server_timeout=0.3)
        assert time.monotonic() - started < 5 * 0.3
    assert page.value("redis_up") == 0


@contextmanager
def trickling_server(beginning):
    """Answer at once, and from then on a byte at a time."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"+OK\r\n" + beginning)
                try:
                    while not stop.wait(0.02):
                        connection.sendall(b"x")
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()


@contextmanager
def scripted_server(*answers):
    """Answer the first data of each connection with the next of ``answers``, then hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\x15\x03", b"", b"$-5\r\n"]
)
def test_something_else_than_redis_is_down(answer):
    """What does not speak Redis' protocol is down, whatever it says."""
    with scripted_server(answer) as port:
        page = scrape(port, server_timeout=2)
    assert page.value("redis_up") == 0
    assert page.error.startswith(f"127.0.0.1:{port}: ")


def test_a_restarted_server_is_up_at_once(tmp_path):
    """The first scrape after a restart goes over a new connection; counters start again."""
    with redis_server(tmp_path) as (port, _):
        collector = RedisCollector(Paths(), address=f"redis://127.0.0.1:{port}")
        for _ in range(5):
            before = Page(collector).value("redis_commands_processed_total")
    assert Page(collector).value("redis_up") == 0
    with redis_server(tmp_path, port=port):
        page = Page(collector)
        assert (page.error, page.value("redis_up")) == ("", 1)
        assert page.value("redis_commands_processed_total") < before
    with redis_server(tmp_path, port=port):  # and once more without a scrape meanwhile
        assert Page(collector).value("redis_up") == 1


def test_logs_in_by_password_file_and_reads_it_again(tmp_path):
    """The password comes from a file, which is read at each login."""
    secret = tmp_path / "password"
    secret.write_text("first secret\n")
    with redis_server(tmp_path, "--requirepass", "first secret") as (port, _):
        settings = {"address": f"redis://127.0.0.1:{port}", "password_file": str(secret)}
        collector = RedisCollector(Paths(), **settings)
        assert Page(collector).value("redis_up") == 1
    with redis_server(tmp_path, "--requirepass", "second", port=port):
        page = Page(collector)
        assert page.value("redis_up") == 0
        assert page.error == f"127.0.0.1:{port}: login refused: WRONGPASS"
        secret.write_text("second\n")
        assert Page(collector).value("redis_up") == 1
        secret.unlink()
        assert Page(collector).value("redis_up") == 1  # logged in already


def test_says_that_a_password_is_needed(tmp_path):
    """Without a password the server is down, and the error says what it lacks."""
    with redis_server(tmp_path, "--requirepass", "secret") as (port, _):
        page = scrape(port)
    assert page.value("redis_up") == 0
    assert page.error == f"127.0.0.1:{port}: a password is needed"


def test_the_password_is_nowhere(tmp_path, caplog):
    """Neither page, errors, logs nor representations show a password, however wrong things go."""
    secret = "s3cr3t"
    caplog.set_level("DEBUG")
    # Repeats what it was asked, as a Redis does whose AUTH command was renamed.
    echo = f"-ERR unknown command `AUTH`, with args beginning with: `{secret}`\r\n".encode()
    with (
        scripted_server(echo) as echoing,
        redis_server(tmp_path, "--requirepass", "other") as (port, _),
    ):
        for place in (f"127.0.0.1:{port}", f"127.0.0.1:{echoing}", "127.0.0.1:1", "host.invalid:1"):
            collector = RedisCollector(Paths(), address=f"redis://:{secret}@{place}")
            page = Page(collector)
            assert page.value("redis_up") == 0
            assert page.error
            assert secret not in page.error + page.text + repr(vars(collector))
    for address in (
        f"redis://:{secret}/x@127.0.0.1:1",
        f"redis://:{secret}#x@127.0.0.1:1",
        f"redis://user:{secret}?x@127.0.0.1:1",
        f"http://user:{secret}@127.0.0.1:1",
        f"redis://user:{secret}@",
        f"redis://user:{secret}@h:port",
        f"redis://user:{secret}@h:1/database",
    ):
        with pytest.raises(ValueError, match="address: expected redis://") as failure:
            RedisCollector(Paths(), address=address)
        assert secret not in str(failure.value)
    assert secret not in caplog.text


def test_other_metrics_survive_what_an_acl_denies(tmp_path):
    """A user without CONFIG, LATENCY, SLOWLOG and MEMORY still sees INFO and sizes, undisturbed."""
    acl = [
        "--user",
        "watcher",
        "on",
        ">secret",
        "~app:*",
        "+info",
        "+select",
        "+type",
        "+llen",
        "+scan",
        "+getrange",
    ]
    with redis_server(tmp_path, *acl) as (port, _):
        say(port, "RPUSH app:list a b")
        collector = RedisCollector(
            Paths(), address=f"redis://watcher:secret@127.0.0.1:{port}", keys=("app:list",)
        )
        page = Page(collector)
        assert page.error == ""
        assert page.value("redis_up") == 1
        assert page.value("redis_memory_used_bytes") > 0
        assert page.value("redis_key_size", db="db0", key="app:list") == 2
        assert page.value("redis_key_memory_usage_bytes", db="db0", key="app:list") is ABSENT
        assert page.value("redis_config_maxclients") is ABSENT
        assert page.value("redis_slowlog_length") is ABSENT
        # What was denied once is not tried at each scrape: it would fill the server's ACL log.
        name = "redis_acl_access_denied_cmd_total"
        denied = [Page(collector).value("redis_errors_total", err="NOPERM") for _ in range(3)]
        assert denied[0] == denied[1] == denied[2], name


def test_the_rest_survives_without_info(tmp_path):
    """A user who may not ask INFO sees the other commands' answers, and the fault is told."""
    acl = ["--user", "watcher", "on", ">secret", "~*", "+@all", "-info"]
    with redis_server(tmp_path, *acl) as (port, _):
        say(port, "RPUSH list a b")
        page = Page(
            RedisCollector(
                Paths(), address=f"redis://watcher:secret@127.0.0.1:{port}", keys=("list",)
            )
        )
    assert page.value("redis_up") == 1
    assert page.value("redis_key_size", db="db0", key="list") == 2
    assert page.value("redis_slowlog_length") == 0
    assert "NOPERM" in page.error


def test_keys_that_are_denied_are_a_fault_of_the_others_no_harm(tmp_path):
    """A key that the user may not read is named in the error; the readable one is reported."""
    acl = ["--user", "watcher", "on", ">secret", "~app:*", "+@all"]
    with redis_server(tmp_path, *acl) as (port, _):
        say(port, "RPUSH app:list a b", "RPUSH private a")
        page = Page(
            RedisCollector(
                Paths(),
                address=f"redis://watcher:secret@127.0.0.1:{port}",
                keys=("private", "app:list"),
                streams=("app:list",),
            )
        )
    assert page.value("redis_key_size", db="db0", key="app:list") == 2
    assert page.value("redis_key_size", db="db0", key="private") is ABSENT
    assert page.value("redis_key_memory_usage_bytes", db="db0", key="app:list") > 0
    assert "NOPERM" in page.error
    assert "more" in page.error


def test_the_rest_survives_a_config_that_never_answers(tmp_path):
    """INFO and the chosen keys are there although CONFIG takes for ever."""
    with redis_server(tmp_path) as (real, _), stalling_proxy(real, b"CONFIG") as port:
        say(real, "RPUSH list a b")
        started = time.monotonic()
        page = scrape(port, keys=("list",), server_timeout=0.5)
        assert time.monotonic() - started < 5 * 0.5
        assert page.value("redis_up") == 1
        assert page.value("redis_key_size", db="db0", key="list") == 2
        assert page.value("redis_db_keys", db="db0") == 1
        assert page.error == f"127.0.0.1:{port}: no answer in time"
        page = scrape(port, keys=("list",), server_timeout=2, config=False)
        assert page.error == ""


@contextmanager
def stalling_proxy(port, word):
    """Stand between a client and Redis; when ``word`` comes, let nothing pass any more."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pump(source, sink):
            try:
                while (data := source.recv(65536)) and word not in data:
                    sink.sendall(data)
                stop.wait(60)
            except OSError:
                pass

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                server = socket.create_connection(("127.0.0.1", port))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()


def test_ten_thousand_hostile_names_stay_apart(tmp_path):
    """Quotes, newlines, invalid UTF-8 and a megabyte: each key has its series, the page parses."""
    names = [b'quote"%d' % i for i in range(2000)]
    names += [b"line\nfeed\r%d" % i for i in range(2000)]
    names += [b"back\\slash%d" % i for i in range(2000)]
    names += [b"\xff\xfe%d" % i for i in range(2000)]
    names += [b"\x00\x85\xe2\x80\xa8{}%d" % i for i in range(1990)]
    names += [b"x" * 1_000_000 + b"%d" % i for i in range(5)] + [b"\xff", b"\xfe", b" ", b"db0=a"]
    with redis_server(tmp_path) as (port, _):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"".join(
                    b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1\r\n1\r\n" % (len(n), n) for n in names
                )
            )
            received = 0
            while received < 5 * len(names):
                received += len(connection.recv(65536))
        page = scrape(port, key_patterns=("*",), server_timeout=60)
    assert page.error == ""
    assert len(page.labels("redis_key_size")) == len(names)
    assert page.value("redis_key_size", db="db0", key='quote"7') == 1
    assert page.value("redis_key_size", db="db0", key="line\nfeed\r7") == 1
    assert page.value("redis_key_size", db="db0", key="\\xff") == 1


def test_more_keys_than_the_limit_are_left_out_and_told(port):
    """A pattern that finds too many keys reports as many as allowed, and the run fails."""
    page = scrape(port, key_patterns=("*",), key_limit=3)
    assert len(page.labels("redis_key_size")) == 3
    assert "more than 3 keys" in page.error


def test_a_thousand_scrapes_of_a_silent_server_leave_nothing_behind():
    """Descriptors and threads are the same after a thousand scrapes that timed out."""
    with silent_server() as port:
        collector = RedisCollector(
            Paths(), address=f"redis://127.0.0.1:{port}", server_timeout=0.001
        )
        Page(collector)
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        for _ in range(1000):
            assert Page(collector).value("redis_up") == 0
        assert len(os.listdir("/proc/self/fd")) <= before[0]
        assert threading.active_count() <= before[1]


def test_speaks_tls_and_checks_the_certificate(tmp_path, free_port):
    """rediss:// needs a certificate of a trusted authority for that host, and may show its own."""
    authority = Authority()
    trusted = tmp_path / "ca.crt"
    trusted.write_text(authority.pem)
    certificate, key = authority.server(tmp_path)
    mine, my_key = authority.write(tmp_path, "client", "gnomon", client=True)
    port = free_port()
    tls = ["--tls-port", str(port), "--tls-ca-cert-file", str(trusted)]
    tls += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    with redis_server(tmp_path, *tls):
        address = f"rediss://localhost:{port}"
        ours = {"tls_cert_file": str(mine), "tls_key_file": str(my_key)}
        trust = {"tls_ca_file": str(trusted)}

        def up_and_error(**settings):
            page = Page(RedisCollector(Paths(), address=address, **settings))
            return page.value("redis_up"), page.error

        assert up_and_error(**ours, **trust) == (1, "")
        assert up_and_error(**ours, tls_insecure_skip_verify=True) == (1, "")
        untrusted = f"localhost:{port}: TLS: CERTIFICATE_VERIFY_FAILED"
        assert up_and_error(**ours) == (0, untrusted)
        assert up_and_error(**ours, **trust, tls_server_name="other") == (0, untrusted)
        up, error = up_and_error(**trust)
        assert (up, error.startswith(f"localhost:{port}: TLS: ")) == (0, True)
        missing = f"localhost:{port}: No such file or directory"
        assert up_and_error(tls_ca_file="/nonexistent") == (0, missing)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"address": "redis://"}, "address: expected"),
        ({"address": ""}, "address: expected"),
        ({"address": "redis://u@h", "username": "v"}, "username: the address names a user"),
        ({"address": "redis://:p@h", "password_file": "f"}, "password_file: the address has"),
        ({"keys": ("db3=",)}, "keys: 'db3=' names no key"),
        ({"streams": ("",)}, "streams: '' names no key"),
        ({"server_timeout": 0.0}, "server_timeout: must be more than 0"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, complaint):
    """A bad setting is named together with its remedy."""
    with pytest.raises(ValueError, match=complaint):
        RedisCollector(Paths(), **settings)


def test_understands_what_other_servers_say():
    """Fields of Valkey and KeyDB, of older and newer versions, and odd ones do no harm."""
    from gnomon_exporter.redis_info import databases, families, sections

    info = sections(
        "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.0\r\nuptime_in_seconds:?\r\n"
        "# Stats\r\nkeyspace_hits:12\r\nkeyspace_misses:not a number\r\nlatest_fork_usec:1500\r\n"
        "used_active_time_io_thread_2:0.5\r\nno colon\r\n"
        "# Persistence\r\nrdb_last_bgsave_status:err\r\nmade_up_by_a_fork:1\r\n"
        "# Replication\r\nrole:slave\r\nmaster_host:a\r\nmaster_port:1\r\n"
        "master_link_status:up\r\nmaster_1_host:b\r\nmaster_1_port:2\r\n"
        "master_1_link_status:down\r\nslave0:ip=::1,port=7,state=online,offset=9\r\nslave1:x\r\n"
        "# Commandstats\r\ncmdstat_get:calls=21,usec=175,usec_per_call=8.33\r\n"
        "cmdstat_bad:calls=,usec\r\ncmdstat_ft.search:calls=1,usec=2\r\n"
        "# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=2500,subexpiry=3\r\n"
        "db1:keys=5,expires=1,avg_ttl=0,cached_keys=4\r\ndbx:keys=1,expires=1\r\n"
        "db0_distrib_strings_sizes:1=2\r\n"
    )
    text = render([*families(info), *databases(info["Keyspace"], 2)]).decode()
    lines = {line for line in text.splitlines() if not line.startswith("#")}
    assert lines >= {
        "redis_keyspace_hits_total 12.0",
        "redis_latest_fork_seconds 0.0015",
        "redis_rdb_last_bgsave_status 0.0",
        'redis_active_time_io_thread_seconds_total{thread="2"} 0.5',
        'redis_master_link_up{master_host="a",master_port="1"} 1.0',
        'redis_master_link_up{master_host="b",master_port="2"} 0.0',
        'redis_connected_slave_offset_bytes{slave_ip="::1",slave_port="7",slave_state="online"} 9.0',  # noqa: E501
        'redis_commands_total{cmd="get"} 21.0',
        'redis_commands_total{cmd="ft.search"} 1.0',
        'redis_db_avg_ttl_seconds{db="db0"} 2.5',
        'redis_db_keys_cached{db="db1"} 4.0',
    }
    for absent in (
        "redis_keyspace_misses",
        "made_up",
        "uptime",
        "lag",
        "dbx",
        "distrib",
        'd="bad"',
    ):
        assert absent not in text
    # The fourth number of db0 is Redis 8's keys with expiring fields, not KeyDB's cached keys.
    assert 'redis_db_keys_cached{db="db0"}' not in text
    assert 'valkey_version="8.1.0"' in text


@pytest.fixture
def patched(tmp_path):
    """Return a function that runs the recorded Redis with some answers changed."""

    @contextmanager
    def patch(changes, old="", new=""):
        answers = json.loads((FIXTURES / "redis-7.0-master.json").read_text())
        _, _, info = answers["INFO ALL"].partition("\r\n")
        info = info.removesuffix("\r\n").replace(old, new)
        answers |= {"INFO ALL": f"${len(info)}\r\n{info}\r\n"} | changes
        path = tmp_path / "answers.json"
        path.write_text(json.dumps(answers))
        with replaying(path) as port:
            yield port

    return patch


def test_reports_valkeys_command_logs(patched):
    """From Valkey 8.1 on there are three logs; others are not asked, for it would be an error."""
    lengths = {"slow": 3, "large-request": 2, "large-reply": 1}
    changes = {f"COMMANDLOG LEN {log}": f":{length}\r\n" for log, length in lengths.items()}
    version = "redis_version:7.2.4\r\nvalkey_version:8.1.0"
    with patched(changes, "redis_version:7.0.15", version) as port:
        page = scrape(port)
    assert page.error == ""
    assert page.value("redis_commandlog_slow_length") == 3
    assert page.value("redis_commandlog_large_request_length") == 2
    assert page.value("redis_commandlog_large_reply_length") == 1
    (info,) = page.labels("redis_instance_info")
    assert info["valkey_version"] == "8.1.0"
    with patched({}) as port:  # which hangs up at a command that was not recorded
        assert scrape(port).error == ""


def test_keys_of_another_cluster_node_are_no_fault(patched):
    """One configuration serves all nodes: a key that lives on another has no series here."""
    moved = "-MOVED 1234 10.0.0.2:6379\r\n"
    changes = {"TYPE jobs": moved, "MEMORY USAGE jobs": moved, "XINFO STREAM events": moved}
    with patched(changes | {"XINFO GROUPS events": moved}) as port:
        page = scrape(port, keys=("jobs", "hits"), streams=("events",))
    assert page.error == ""
    assert page.value("redis_key_size", db="db0", key="jobs") is ABSENT
    assert page.value("redis_key_size", db="db0", key="hits") == 2
    assert "redis_stream" not in page.text


@pytest.mark.parametrize(
    "answer", [":1\r\n", "*-1\r\n", "$-1\r\n", "*2\r\n:1\r\n*0\r\n", "+OK\r\n"]
)
def test_answers_of_another_kind_cost_their_own_series_only(patched, answer):
    """A number, nothing or a list where something else belongs breaks no other series."""
    odd = ["LATENCY LATEST", "LATENCY HISTOGRAM", "SLOWLOG GET 1", "SLOWLOG LEN", "TYPE jobs"]
    odd += ["CONFIG GET maxclients", "CONFIG GET databases", "XINFO GROUPS events", "STRLEN hits"]
    with patched(dict.fromkeys([*odd, "SCAN 0 MATCH * COUNT 1000"], answer)) as port:
        page = scrape(port, keys=("jobs", "hits"), streams=("events",), count_keys=("*",))
    assert page.value("redis_up") == 1
    assert page.value("redis_memory_used_bytes") > 0
    assert page.value("redis_config_maxmemory") == 0
    assert page.value("redis_stream_length", db="db0", stream="events") == 2
    assert page.value("redis_key_memory_usage_bytes", db="db0", key="hits") > 0


def test_numbers_that_are_none():
    """Inf and nan are Redis' words, too, and not a number is not 0."""
    from gnomon_exporter.redis_info import number

    assert number("inf") == math.inf
    assert number("") is None
    assert number("up") is None
