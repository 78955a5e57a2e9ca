"""One cause, one message: what a running Alertmanager holds back, and what it does not."""

import pytest

from servers import until

CRITICAL = {"severity": "critical"}
WARNING = {"severity": "warning"}
INFO = {"severity": "info"}
POOL = "db_client_connection_pool_name"

# What each cause holds back, and what it must not: causes, held, heard.
CASES = {
    "a dead target holds back what it last said": (
        [
            {"alertname": "TargetDown", **WARNING, "instance": "a:1"},
            {"alertname": "TargetDown", **WARNING, "n": "without an instance"},
        ],
        [
            {"alertname": "Other", **WARNING, "instance": "a:1"},
            {"alertname": "Other", **INFO, "instance": "a:1"},
        ],
        [
            {"alertname": "TargetDown", **WARNING, "instance": "a:1", "job": "other"},
            {"alertname": "Other", **CRITICAL, "instance": "a:1", "n": "a page"},
            {"alertname": "Other2", **WARNING, "instance": "b:1"},
            {"alertname": "Other2", **WARNING},
        ],
    ),
    "a dead machine holds back what ran on it": (
        [
            {"alertname": "HostDown", **CRITICAL, "instance": "m", "host": "m"},
            {"alertname": "HostDown", **CRITICAL, "n": "without a host"},
        ],
        [
            {"alertname": "TargetDown", **WARNING, "instance": "m", "host": "m"},
            {"alertname": "TargetDown", **WARNING, "instance": "m:8000", "host": "m"},
            {"alertname": "QueueStuck", **WARNING, "instance": "m:8000", "host": "m"},
        ],
        [
            {"alertname": "TargetDown", **WARNING, "instance": "k:8000", "host": "k"},
            {"alertname": "QueueStuck", **CRITICAL, "instance": "m:8000", "host": "m"},
            {"alertname": "QueueStuck", **WARNING, "service": "s"},
        ],
    ),
    "a failing dependency explains its caller": (
        [
            {"alertname": "DependencyFailing", **WARNING, "service": "caller"},
            {"alertname": "DependencyFailing", **WARNING, "n": "without a service"},
        ],
        [
            {"alertname": "ServiceLatencyHigh", **WARNING, "service": "caller"},
            {"alertname": "CacheHitRatioLow", **WARNING, "service": "caller"},
            {"alertname": "SLOSlowBurn", **WARNING, "service": "caller", "slo": "x"},
        ],
        [
            {"alertname": "ServiceLatencyHigh", **WARNING, "service": "another"},
            {"alertname": "ServiceMemoryLeaking", **WARNING, "service": "caller"},
            {"alertname": "ServiceLatencyHigh", **WARNING},
            {"alertname": "SLOSlowBurn", **CRITICAL, "service": "caller", "slo": "y"},
            {"alertname": "QueueStuck", **WARNING, "service": "caller"},
        ],
    ),
    "a storm is one message": (
        [
            {"alertname": "AnomalyStorm", **WARNING, "service": "s"},
            {"alertname": "AnomalyStorm", **WARNING, "n": "without a service"},
        ],
        [
            {"alertname": "AnomalyAbove", **WARNING, "service": "s"},
            {"alertname": "AnomalyBelow", **INFO, "service": "s"},
        ],
        [
            {"alertname": "AnomalyAbove", **WARNING, "service": "t"},
            {"alertname": "AnomalyAbove", **WARNING},
            {"alertname": "QueueStuck", **WARNING, "service": "s"},
        ],
    ),
    "the worse of two alerts of one name": (
        [
            {"alertname": "Hot", **CRITICAL, "service": "s", "instance": "a"},
            {"alertname": "Late", **CRITICAL, "service": "s"},
            {"alertname": "Burn", **CRITICAL, "service": "s", "slo": "x"},
        ],
        [
            {"alertname": "Hot", **WARNING, "service": "s", "instance": "a"},
            {"alertname": "Late", **WARNING, "service": "s"},
            {"alertname": "BurnSlow", **WARNING, "service": "s", "slo": "x"},
        ],
        [
            {"alertname": "Hot", **WARNING, "service": "s", "instance": "b"},
            {"alertname": "Hot", **WARNING, "service": "s"},
            {"alertname": "Late", **WARNING, "service": "t"},
            {"alertname": "Late", **WARNING, "service": "s", "instance": "a"},
            {"alertname": "BurnSlow", **WARNING, "service": "s", "slo": "y"},
            {"alertname": "Burn", **WARNING, "service": "t", "slo": "x"},
        ],
    ),
    "a full file system need not fill up": (
        [
            {
                "alertname": "HostFilesystemAlmostFull",
                **CRITICAL,
                "instance": "c",
                "mountpoint": "/",
            },
            {"alertname": "HostFilesystemAlmostFull", **CRITICAL, "instance": "c"},
        ],
        [
            {
                "alertname": "HostFilesystemFillingUp",
                **WARNING,
                "instance": "c",
                "mountpoint": "/",
            }
        ],
        [
            {
                "alertname": "HostFilesystemFillingUp",
                **WARNING,
                "instance": "c",
                "mountpoint": "/data",
            },
            {"alertname": "HostFilesystemFillingUp", **WARNING, "instance": "c"},
        ],
    ),
    "an empty pool is no longer nearly empty": (
        [
            {"alertname": "DatabasePoolExhausted", **CRITICAL, "instance": "p", POOL: "one"},
            {"alertname": "DatabasePoolTimeouts", **CRITICAL, "instance": "p", POOL: "two"},
            {"alertname": "DatabasePoolExhausted", **CRITICAL, "instance": "p"},
        ],
        [
            {"alertname": "DatabasePoolNearlyExhausted", **WARNING, "instance": "p", POOL: "one"},
            {"alertname": "DatabasePoolNearlyExhausted", **WARNING, "instance": "p", POOL: "two"},
        ],
        [
            {"alertname": "DatabasePoolNearlyExhausted", **WARNING, "instance": "p", POOL: "three"},
            {"alertname": "DatabasePoolNearlyExhausted", **WARNING, "instance": "q", POOL: "one"},
            {"alertname": "DatabasePoolNearlyExhausted", **WARNING, "instance": "p"},
            {"alertname": "DatabasePoolWaitHigh", **WARNING, "instance": "p", POOL: "one"},
        ],
    ),
    "information is background, unless it looks ahead": (
        [{"alertname": "InfoInhibitor", "severity": "none", "service": "s"}],
        [{"alertname": "RunQueue", **INFO, "service": "s", "component": "cpu"}],
        [
            {"alertname": "DiskForecast", **INFO, "service": "s", "component": "filesystem"},
            {"alertname": "GPUIdleWaste", **INFO, "service": "s", "component": "gpu"},
            {"alertname": "Spent", **INFO, "service": "s", "component": "cost"},
            {"alertname": "RunQueue", **INFO, "service": "t", "component": "cpu"},
            {"alertname": "RunQueue", **INFO, "component": "cpu"},
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_cause_is_one_message(house, case):
    """The consequences are held back: no page, nobody else's, none that lacks the label."""
    causes, held, heard = CASES[case]
    alertmanager = house.start(house.render())
    # The causes first: Alertmanager judges each alert by what it knows when it is asked.
    alertmanager.post(*causes, *heard)
    alertmanager.post(*held)

    def judged():
        alerts = alertmanager.ask("/api/v2/alerts")
        states = {tuple(sorted(a["labels"].items())): a["status"] for a in alerts}
        if len(alerts) != len([*causes, *held, *heard]):
            return None
        if any(status["state"] == "unprocessed" for status in states.values()):
            return None
        return states

    states = until(judged)
    silent = {labels for labels, status in states.items() if status["inhibitedBy"]}
    assert silent == {tuple(sorted(labels.items())) for labels in held}
