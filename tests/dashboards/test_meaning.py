"""The right numbers: situations with a known truth, and what the panels make of them.

Each situation is scripted series, with the checked-in rules over them, in promtool's own clock:
forty minutes of it. The expressions are the panels' own, found by their titles.
"""

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import rulebook
from dashboards import asked
from dashboards.studio import PRICES, priced
from servers import ROOT, program

#: Between samples, how many of them make the situation, and when it is looked at.
STEP_S, STEPS = 15, 161
AT_S = 40 * 60

GIB = 2**30

#: One of promtool's tests of an expression.
Test = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shows:
    """What a query of a panel has to give.

    of: dashboard, section or sections, panel and query, as a message would name it. value: give or
    take ``about``, a share of it. where: the series meant; without, all of them are. chosen: at
    the head, where that is not everything.
    """

    of: str
    value: float
    about: float = 0.01
    where: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Situation:
    """Series, each with what it is ("50" stays, "+50/s" rises so much a second); what is shown."""

    name: str
    series: Mapping[str, str]
    shows: tuple[Shows, ...]


def buckets(name: str, labels: str, counts: Mapping[str, float]) -> dict[str, str]:
    """Return a histogram's series; counts: events a second up to each bound."""
    found = {f'{name}_bucket{{{labels}, le="{le}"}}': f"+{n}/s" for le, n in counts.items()}
    return found | {f"{name}_count{{{labels}}}": f"+{counts['+Inf']}/s"}


APP = 'job="application", instance="web1:8000", service="shop"'
ROUTE = f'{APP}, http_request_method="GET", http_route="/orders"'
CLIENT = "http_client_request_duration_seconds"
HTTP = "http_server_request_duration_seconds"
NODE = 'job="node", instance="web1", service="host"'
POOL = f'{APP}, db_client_connection_pool_name="main"'
GPU = f'{NODE}, uuid="aaaa"'
RABBIT = 'job="rabbitmq", instance="mq:15692", service="broker", vhost="/", queue="mails"'
GROUP = f'{NODE}, id="/system.slice/api.service"'
DESK = (
    'job="application", instance="d:8000", service="desk", http_request_method="GET",'
    ' http_route="/api/models"'
)
EDGE = f'{APP}, http_request_method="GET", server_address="bank", server_port="443"'
MEASURED = f'{APP}, name="invoice"'
DISK = f'{NODE}, device="/dev/vda1", fstype="ext4", mountpoint="/"'


def probes(name: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return a metric of blackbox_exporter's for endpoints."""
    return {
        f'{name}{{job="blackbox", service="shop", instance="{at}"}}': value
        for at, value in values.items()
    }


SITUATIONS = [
    Situation(
        "50 requests a second, 10 % of them fail, 95 of 100 within 200 ms",
        {
            # 0.9 below 0.1 s and all below 0.3 s: 95 % lie half way between, by interpolation.
            **buckets(
                HTTP,
                f'{ROUTE}, http_response_status_code="200"',
                {"0.1": 40.5, "0.3": 45, "+Inf": 45},
            ),
            **buckets(
                HTTP,
                f'{ROUTE}, http_response_status_code="500", error_type="KeyError"',
                {"0.1": 4.5, "0.3": 5, "+Inf": 5},
            ),
            f"process_start_time_seconds{{{APP}}}": f"{AT_S - 600}",
            f"up{{{APP}}}": "1",
        },
        (
            Shows(of="service / Requests / A", value=50),
            Shows(of="service / Failing / A", value=0.1),
            Shows(of="service / 95 % within / A", value=0.2),
            Shows(of="service / Youngest / A", value=600),
            Shows(of="service / Requests, by outcome / A", value=5, where={"outcome": "5xx"}),
            Shows(of="service / Failing requests / A", value=0.1),
            Shows(of="service / Time to answer / B", value=0.2),
            Shows(of="service / Routes / Routes / rate", value=50, where={"http_route": "/orders"}),
            Shows(of="service / Routes / Routes / failing", value=0.1),
            Shows(of="service / Routes / Routes / p95", value=0.2),
            Shows(of="overview / Failing now / A", value=0.1),
            Shows(of="overview / Services / Health by service / rate", value=50),
        ),
    ),
    Situation(
        "15 of a pool's 20 connections are used, 3 callers wait",
        {
            f'db_client_connection_count{{{POOL}, db_client_connection_state="used"}}': "15",
            f'db_client_connection_count{{{POOL}, db_client_connection_state="idle"}}': "5",
            f"db_client_connection_max{{{POOL}}}": "20",
            f"db_client_connection_pending_requests{{{POOL}}}": "3",
            f"db_client_connection_timeouts_total{{{POOL}}}": "0",
        },
        (
            Shows(of="database / Pool used / A", value=0.75),
            Shows(of="database / Pools: how full / A", value=0.75),
            Shows(of="database / Callers wait / A", value=3),
            Shows(of="database / Gave up / A", value=0),
            Shows(of="database / Pools / Each pool / used", value=15),
            Shows(of="database / Pools / Each pool / most", value=20),
        ),
    ),
    Situation(
        "a cache is asked 10 times a second and has 8 of 10, and three quarters are in use",
        {
            f'gnomon_cache_hits_total{{{APP}, cache="prices", tier="l1"}}': "+8/s",
            f'gnomon_cache_misses_total{{{APP}, cache="prices", tier="l1"}}': "+2/s",
            f'gnomon_cache_entries{{{APP}, cache="prices", tier="l1"}}': "96",
            f'gnomon_cache_capacity_entries{{{APP}, cache="prices", tier="l1"}}': "128",
        },
        (
            Shows(of="cache / In memory / A", value=0.8),
            Shows(of="cache / Lookups / A", value=10),
            Shows(of="cache / Found in memory, by cache / A", value=0.8),
            Shows(of="cache / How full they are / A", value=0.75),
        ),
    ),
    Situation(
        "40 messages wait for 2 consumers, and 4 a second are done in an application",
        {
            f"rabbitmq_detailed_queue_messages{{{RABBIT}}}": "40",
            f"rabbitmq_detailed_queue_messages_ready{{{RABBIT}}}": "40",
            f"rabbitmq_detailed_queue_messages_unacked{{{RABBIT}}}": "0",
            f"rabbitmq_detailed_queue_consumers{{{RABBIT}}}": "2",
            f'gnomon_queue_depth{{{APP}, queue="parcels", priority=""}}': "60",
            f'gnomon_queue_workers{{{APP}, queue="parcels"}}': "4",
            f'gnomon_queue_in_flight{{{APP}, queue="parcels"}}': "3",
            f'gnomon_queue_oldest_age_seconds{{{APP}, queue="parcels"}}': "15",
            f'gnomon_queue_completed_total{{{APP}, queue="parcels", worker="1"}}': "+4/s",
        },
        (
            Shows(of="queue / Waiting / A", value=100),
            Shows(of="queue / Each queue / Queues / depth", value=40, where={"queue": "mails"}),
            Shows(of="queue / Each queue / Queues / consumers", value=2, where={"queue": "mails"}),
            Shows(of="queue / RabbitMQ / RabbitMQ: consumers / A", value=2),
            Shows(of="queue / Untended / A", value=0),
            Shows(of="queue / Oldest / A", value=15),
            Shows(of="queue / In and out / B", value=4),
            Shows(of="queue / Drains in / A", value=15),
            Shows(of="queue / In applications / Workers busy / A", value=0.75),
        ),
    ),
    Situation(
        "a GPU is half busy, 8 of its 10 GiB are in use, and 12 degrees are left",
        {
            f'nvidia_smi_gpu_info{{{GPU}, index="0", name="A"}}': "1",
            f"nvidia_smi_index{{{GPU}}}": "0",
            f"nvidia_smi_utilization_gpu_ratio{{{GPU}}}": "0.5",
            f"nvidia_smi_memory_used_bytes{{{GPU}}}": f"{8 * GIB}",
            f"nvidia_smi_memory_total_bytes{{{GPU}}}": f"{10 * GIB}",
            f"nvidia_smi_power_draw_watts{{{GPU}}}": "150",
            f"nvidia_smi_temperature_gpu{{{GPU}}}": "75",
            f"nvidia_smi_temperature_gpu_tlimit{{{GPU}}}": "12",
        },
        (
            Shows(of="gpu / GPUs there / A", value=1),
            Shows(of="gpu / Busy / A", value=0.5),
            Shows(of="gpu / Fullest VRAM / A", value=0.8),
            Shows(of="gpu / Power / A", value=150),
            Shows(of="gpu / Memory allocated / A", value=0.8),
            Shows(of="gpu / GPUs / heat", value=75),
        ),
    ),
    Situation(
        "a host with 2 processors uses 75 % of them, 60 % of its memory, and has 5 % of disk left",
        {
            **{
                f'node_cpu_seconds_total{{{NODE}, cpu="{cpu}", mode="{mode}"}}': f"+{rate}/s"
                for cpu in (0, 1)
                for mode, rate in (("user", 0.5), ("system", 0.25), ("idle", 0.25))
            },
            f"node_memory_MemTotal_bytes{{{NODE}}}": f"{10 * GIB}",
            f"node_memory_MemAvailable_bytes{{{NODE}}}": f"{4 * GIB}",
            f"node_memory_MemFree_bytes{{{NODE}}}": f"{GIB}",
            f"node_filesystem_size_bytes{{{DISK}}}": f"{100 * GIB}",
            f"node_filesystem_avail_bytes{{{DISK}}}": f"{5 * GIB}",
            f"node_filesystem_free_bytes{{{DISK}}}": f"{5 * GIB}",
            f"node_filesystem_readonly{{{DISK}}}": "0",
            f"node_boot_time_seconds{{{NODE}}}": f"{AT_S - 600}",
        },
        (
            Shows(of="host / Processors / A", value=0.75),
            Shows(of="host / Memory used / A", value=0.6),
            Shows(of="host / Disk left / A", value=0.05),
            Shows(of="host / Up for / A", value=600),
            Shows(
                of="host / Processors / Processors: what for / A",
                value=0.5,
                where={"mode": "user"},
            ),
            Shows(of="overview / Machines and budgets / Health by machine / cpu", value=0.75),
            Shows(of="overview / Machines and budgets / Health by machine / memory", value=0.6),
        ),
    ),
    Situation(
        "6 of 10,000 requests failed where 1 of 1,000 may: 40 % of the budget are left",
        {
            f'{HTTP}_count{{{DESK}, http_response_status_code="200"}}': "+9.994/s",
            f'{HTTP}_count{{{DESK}, http_response_status_code="500"}}': "+0.006/s",
        },
        tuple(
            Shows(of=of, value=value, chosen={"objective": "desk-models-availability"})
            for of, value in (
                ("slo / Objective: $objective / Budget left / A", 0.4),
                ("slo / Objective: $objective / Promised / A", 0.999),
                ("slo / Objective: $objective / Kept / A", 0.9994),
                ("slo / Objective: $objective / Burns / A", 0.6),
            )
        ),
    ),
    Situation(
        "one of four endpoints is down; a certificate has 20 days left",
        {
            **probes("probe_success", {"a": "1", "b": "1", "c": "1", "d": "0"}),
            **probes("probe_duration_seconds", {"a": "0.1", "b": "0.3", "c": "0.2", "d": "0.05"}),
            # Promtool begins at the beginning of time.
            **probes("probe_ssl_earliest_cert_expiry", {"a": f"{AT_S + 20 * 86400}"}),
        },
        (
            Shows(of="probe / Endpoints up / A", value=0.75),
            Shows(of="probe / Down / A", value=1),
            Shows(of="probe / Slowest / A", value=0.3),
            Shows(of="probe / First expires / A", value=20),
            Shows(of="overview / Do not answer / A", value=1),
        ),
    ),
    Situation(
        "a container uses 1.2 of 1.5 processors and three quarters of its memory",
        {
            f'container_cpu_usage_seconds_total{{{GROUP}, cpu="total"}}': "+1.2/s",
            f"container_spec_cpu_quota{{{GROUP}}}": "150000",
            f"container_spec_cpu_period{{{GROUP}}}": "100000",
            f"container_memory_working_set_bytes{{{GROUP}}}": "750",
            f"container_spec_memory_limit_bytes{{{GROUP}}}": "1000",
            f"container_cpu_cfs_periods_total{{{GROUP}}}": "+10/s",
            f"container_cpu_cfs_throttled_periods_total{{{GROUP}}}": "+2/s",
        },
        (
            Shows(of="container / Most of quota / A", value=0.8),
            Shows(of="container / Most of limit / A", value=0.75),
            Shows(of="container / Most held back / A", value=0.2),
            Shows(of="container / All groups / Groups / cpu", value=1.2),
            Shows(of="container / Killed, 24 h / A", value=0),
        ),
    ),
    Situation(
        "two invoices a second take 0.4 s and 256 MiB each, and 0.1 s of CPU of their own",
        {
            f"gnomon_usage_duration_seconds_count{{{MEASURED}}}": "+2/s",
            f"gnomon_usage_duration_seconds_sum{{{MEASURED}}}": "+0.8/s",
            f"gnomon_usage_own_cpu_seconds_count{{{MEASURED}}}": "+2/s",
            f"gnomon_usage_own_cpu_seconds_sum{{{MEASURED}}}": "+0.2/s",
            f"gnomon_usage_ram_peak_bytes_count{{{MEASURED}}}": "+2/s",
            f"gnomon_usage_ram_peak_bytes_sum{{{MEASURED}}}": f"+{2 * 256 * 2**20}/s",
        },
        (
            Shows(of="usage / Takes / A", value=0.4),
            Shows(of="usage / RAM, peak / A", value=256 * 2**20),
            Shows(of="usage / Each piece of work, by name / What each one uses / own", value=0.1),
        ),
    ),
    Situation(
        "a dependency is asked 10 times a second, and 2 of 10 calls fail",
        {
            f'{CLIENT}_count{{{EDGE}, http_response_status_code="200"}}': "+8/s",
            f'{CLIENT}_count{{{EDGE}, http_response_status_code="503", error_type="503"}}': "+2/s",
        },
        (
            Shows(of="dependency / Calls / A", value=10),
            Shows(of="dependency / Failing calls / A", value=0.2),
            Shows(of="dependency / Worst edge / A", value=0.2),
            Shows(
                of="dependency / Other services and outside APIs / Failing, by peer / A", value=0.2
            ),
        ),
    ),
    Situation(
        "of 100 page views 80 paint within 2.5 s, 15 more within 4",
        buckets(
            "gnomon_web_vitals_lcp_seconds",
            f'{APP}, http_route="/"',
            {"2.0": 0.75, "2.5": 0.8, "4.0": 0.95, "+Inf": 1},
        ),
        (
            Shows(of="vitals / Largest Contentful Paint (LCP) / A", value=0.8),
            Shows(of="vitals / Largest Contentful Paint (LCP) / B", value=0.15),
            Shows(of="vitals / Largest Contentful Paint (LCP) / C", value=0.05),
            Shows(of="vitals / LCP, p75 / A", value=2.0),
        ),
    ),
    Situation(
        "a machine of 2 processors and 10 GiB, at the prices of the studio",
        {f'node_cpu_seconds_total{{{NODE}, cpu="{cpu}", mode="idle"}}': "+1/s" for cpu in (0, 1)}
        | {f"node_memory_MemTotal_bytes{{{NODE}}}": f"{10 * GIB}"},
        (
            Shows(
                of="cost / An hour / A",
                value=PRICES["cost_machine:per_hour"]
                + 2 * PRICES["cost_cpu:per_hour"]
                + 10 * PRICES["cost_memory_gigabyte:per_hour"],
            ),
        ),
    ),
    Situation(
        "one of three targets does not answer, and one of two collectors fails",
        {
            'up{job="node", instance="a", service="host"}': "1",
            'up{job="node", instance="b", service="host"}': "0",
            'up{job="application", instance="c", service="shop"}': "1",
            'gnomon_scrape_collector_success{job="node", instance="a", collector="cpu"}': "1",
            'gnomon_scrape_collector_success{job="node", instance="a", collector="redis"}': "0",
        },
        (
            Shows(of="meta / Targets down / A", value=1),
            Shows(of="meta / Not collected / A", value=1),
            Shows(of="overview / Do not answer / A", value=1),
            Shows(of="meta / Watchdog / A", value=1),
        ),
    ),
]


@functools.cache
def _queries():
    return {str(query): query for path in asked.PATHS for query in asked.queries(path)}


class _All(dict[str, str]):
    """Choices that are "all" unless said."""

    def __missing__(self, name: str) -> str:
        return ".*"


def _values(word: str) -> str:
    """Return the samples of a series as promtool writes them."""
    rate = re.fullmatch(r"\+(.+)/s", word)
    return f"0+{float(rate[1]) * STEP_S:.10g}x{STEPS}" if rate else f"{word}x{STEPS}"


@pytest.fixture(scope="module")
def rules(tmp_path_factory) -> Path:
    """The folder of the rule files, with prices."""
    folder = tmp_path_factory.mktemp("rules")
    shutil.copytree(ROOT / "prometheus/rules", folder / "rules")
    shutil.copy(ROOT / "prometheus/thresholds.yml", folder)
    priced(folder)
    return folder / "rules"


def _needed(exprs: Iterable[str]) -> set[str]:
    """Return the rule files that make what expressions read, by their names."""
    found = {"thresholds", "meta"}  # Watchdog's
    names = set().union(*map(rulebook.metrics, exprs))
    seen: set[str] = set()
    while names:
        name = names.pop()
        seen.add(name)
        for rule in rulebook._MAKERS.get(name, ()):
            found.add(rule.subject)
            names |= rule.reads - seen
    return found


def _run(
    folder: Path, rules: Path, situation: Situation, exprs: list[str], tests: list[Test]
) -> str:
    """Return what promtool says of expressions in a situation, "" where all is as expected."""
    text = {
        "rule_files": [str(rules / f"{name}.yml") for name in sorted(_needed(exprs))],
        "evaluation_interval": "60s",
        "tests": [
            {
                "interval": f"{STEP_S}s",
                "input_series": [
                    {"series": series, "values": _values(word)}
                    for series, word in situation.series.items()
                ],
                "promql_expr_test": tests,
            }
        ],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(text, width=10_000))
    words = [*program("promtool"), "test", "rules", str(folder / "test.yml")]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_panels_show_what_is_so(tmp_path, rules, situation):
    """Each number that is known, where a panel shows it."""
    exprs = []
    for shows in situation.shows:
        query = _queries().get(shows.of)
        assert query is not None, f"no query {shows.of}"
        exprs.append(query.asked(_All(shows.chosen)))
    close = [
        {
            "expr": _close(expr, shows),
            "eval_time": f"{AT_S}s",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expr, shows in zip(exprs, situation.shows, strict=True)
    ]
    if not _run(tmp_path, rules, situation, exprs, close):
        return
    # Once more, for the numbers that there are.
    raw = [{"expr": expr, "eval_time": f"{AT_S}s", "exp_samples": []} for expr in exprs]
    wanted = "\n".join(
        f"{shows.of}: {shows.value:g} {dict(shows.where)}" for shows in situation.shows
    )
    pytest.fail(f"wanted:\n{wanted}\n{_run(tmp_path, rules, situation, exprs, raw)}")


def _close(expr: str, shows: Shows) -> str:
    """Return an expression that is 1 where all of what is meant is close to what it shall be."""
    near = f"abs(({expr}) - {shows.value!r}) <= bool {max(abs(shows.value) * shows.about, 1e-9)!r}"
    for label, value in shows.where.items():
        mark = f'label_replace(vector(1), "{label}", {json.dumps(value)}, "", "")'
        near = f"({near}) and on ({label}) {mark}"
    return f"min({near})"
