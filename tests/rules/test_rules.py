"""The rules: that they load, that they hold in promtool's cases, that nothing is missing of any."""

import json
import re
import subprocess

import pytest

import exposed
import rulebook
from gnomon_stack import thresholds
from gnomon_stack.rules_commands import MADE
from rulebook import ALERTS, EVERY, RECORDINGS, ROOT, RULES

LABELS = {"severity", "service", "component"}
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}
SEVERITIES = {"critical", "warning", "info", "none"}

# What docs/metrics.md does not list, because no collector yields it, and where it comes from.
ELSEWHERE = {
    "up": "Prometheus itself, for each target",
    "scrape_duration_seconds": "Prometheus itself, for each target",
    "prometheus_": "Prometheus' own page; test_live.py looks there",
    "alertmanager_": "Alertmanager's own page; test_live.py looks there",
    "node_zfs_arc_": "ZFS' arcstats; of the recorded host only an excerpt is kept",
    "grafana_": "Grafana's own page, where Grafana runs",
    "otelcol_": "Jaeger's own page, of the collector that it is made of",
    "probe_": "blackbox_exporter; test_blackbox.py looks there",
    "rabbitmq_detailed_queue_": "RabbitMQ's own plugin; test_rabbitmq.py looks there",
    "gnomon_exporter_": "the exporter on itself, not on a host; test_live.py looks there",
}

# Numbers that belong to the meaning of the alert, which nobody would want otherwise.
STRUCTURAL = {
    "HostOOMKill": {"900"},  # a boot is recent
    "TargetDown": {"0.5"},  # more often down than up
    "TargetGap": {"0.65", "3"},  # five of the twelve scrapes of two minutes; of more than three
    "CollectorFailing": {"0.5"},
    "ProbeFailing": {"0.5"},
    "ProbeGap": {"0.65", "3"},
    "GrafanaSourceFailing": {"1.5"},  # more than one, of which increase() may make a little more
    "JobOverdue": {"2"},  # twice as long as ever
}

# They fire because nothing is there.
FIRES_ON_NOTHING = {"Watchdog", "JobAbsent", "PrometheusBlind"}


def _alerts(alerts=ALERTS):
    return pytest.mark.parametrize("alert", alerts, ids=lambda alert: alert.name)


def _run(*words):
    ran = subprocess.run(words, capture_output=True, text=True, timeout=290, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ('sum without (cpu, mode) (rate(a_total{mode="idle"}[5m])) / b', {"a_total", "b"}),
        (
            'x:y:z < 0.03 and on (job) (d offset 10m == 0 or f(e{n=~"g|h"}[1h]))',
            {"x:y:z", "d", "e"},
        ),
        ('a unless "b c" == 1e3', {"a"}),
    ],
)
def test_the_names_of_metrics_are_found_in_expressions(expr, names):
    """The other tests build on it: no function, label, word or string is taken for a name."""
    assert rulebook.metrics(expr) == names


def test_every_rule_file_passes_promtools_lint(program):
    """Prometheus loads the rules, and finds no two alike."""
    _run(*program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))


def test_prometheus_accepts_its_configuration(program):
    """prometheus.yml is valid, with the rules that it names."""
    shown = _run(*program("promtool"), "check", "config", str(ROOT / "prometheus/prometheus.yml"))
    assert f"{len(RULES)} rule files found" in shown


@pytest.mark.timeout(300)  # weeks of samples, and promtool has one core
@pytest.mark.parametrize("path", rulebook.WRITTEN, ids=lambda path: path.stem)
def test_the_alerts_fire_and_stay_silent_when_they_should(program, path):
    """Every case in prometheus/tests holds."""
    _run(*program("promtool"), "test", "rules", str(ROOT / f"prometheus/tests/{path.name}"))


@_alerts()
def test_an_alert_says_all_that_people_and_routes_need(alert):
    """Labels to route by, words to understand it by, links that lead on."""
    assert set(alert.labels) == LABELS
    assert set(alert.annotations) == ANNOTATIONS
    assert alert.labels["severity"] in SEVERITIES


@_alerts()
def test_an_alert_leads_to_a_dashboard_with_its_labels_chosen(alert):
    """The page is there, and can be told what the link tells it."""
    path, _, chosen = alert.annotations["dashboard_url"].partition("?")
    board = json.loads(
        (ROOT / f"grafana/dashboards/{path.removeprefix('/d/gnomon-')}.json").read_text()
    )
    known = {variable["name"] for variable in board["templating"]["list"]}
    for part in filter(None, chosen.split("&")):
        name, value = re.fullmatch(
            r"var-(\w+)=\{\{ \$labels\.(\w+) \| urlquery \}\}", part
        ).groups()
        assert name in known
        assert value in {name, "instance", "sloth_id"}


@_alerts()
def test_an_alert_is_named_after_its_subject(alert):
    """Host… in host.yml and so on; the watching's own alerts have the names that everyone knows."""
    if alert.subject != "meta":
        assert alert.name.lower().startswith(alert.subject)


def _outcomes(alert, groups):
    """Yield the series' metrics and what is expected of the alert, for each time it is asked."""
    for group in groups:
        measured = {re.split(r"[{ ]", row["series"])[0] for row in group["input_series"]}
        for asked in group.get("alert_rule_test", []):
            if asked["alertname"] == alert.name:
                yield measured, asked.get("exp_alerts", [])


@_alerts()
def test_an_alert_has_a_case_in_which_it_fires(alert):
    """Its labels and words are checked there, for promtool compares them all."""
    fired = [alerts for _, alerts in _outcomes(alert, rulebook.cases(alert.subject)) if alerts]
    assert fired


@_alerts([alert for alert in ALERTS if alert.name != "Watchdog"])
def test_an_alert_has_a_case_in_which_it_is_silent_though_all_is_measured(alert):
    """Silent because the values are good, not because there are none."""
    outcomes = _outcomes(alert, rulebook.cases(alert.subject))
    read = rulebook.raw(alert) | alert.reads
    assert any(not alerts and measured & read for measured, alerts in outcomes)


@_alerts([alert for alert in ALERTS if alert.name not in FIRES_ON_NOTHING])
def test_an_alert_is_silent_about_what_is_not_measured(alert):
    """Missing is not zero, nor is it too much."""
    outcomes = _outcomes(alert, rulebook.cases(alert.subject))
    read = rulebook.raw(alert) | alert.reads
    nothing = [alerts for measured, alerts in outcomes if not measured & read]
    assert nothing
    assert not any(nothing)


@pytest.mark.parametrize(
    "rule",
    [rule for rule in RECORDINGS.values() if rule.name != "sloth_slo_info"],  # Sloth's name
    ids=lambda rule: rule.name,
)
def test_a_recording_is_named_by_level_metric_and_operations(rule):
    """The convention by which people and dashboards guess a name."""
    assert re.fullmatch(r"[a-z][a-z_]*:[a-z0-9_]+:[a-z0-9_]+", rule.name)


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.name)
def test_whatever_a_rule_reads_exists(rule):
    """Each metric is recorded by a rule, exposed by a part of ours, or in the list above."""
    unknown = rulebook.raw(rule) - exposed.exporter() - exposed.library()
    assert {name for name in unknown if not _elsewhere(name)} == set()


def _elsewhere(name):
    beginnings = tuple(known for known in ELSEWHERE if known.endswith("_"))
    return name in ELSEWHERE or name.startswith(beginnings)


def test_a_rule_reads_only_recordings_that_exist():
    """A name with colons is one of ours."""
    read = {name for rule in EVERY for name in rule.reads if ":" in name}
    assert read <= set(RECORDINGS)


def test_recordings_come_before_what_reads_them():
    """Within a group rules run in turn, so a later one sees this moment's value, not the last's."""
    for group in {rule.group for rule in EVERY}:
        rules = [rule for rule in EVERY if rule.group == group]
        recorded = [rule.name for rule in rules if not rule.alert]
        for place, rule in enumerate(rules):
            earlier = {other.name for other in rules[:place]}
            assert rule.reads & set(recorded) <= earlier


def test_the_rules_that_are_made_are_up_to_date():
    """Nobody edited what is made, nor forgot to make it."""
    for target, make in MADE.items():
        assert (ROOT / target).read_text() == make(ROOT), f"{target}: run `make rules`"


def test_every_threshold_is_used():
    """A number that changes nothing would deceive whoever edits it."""
    read = {name for rule in EVERY for name in rule.reads}
    made = {
        threshold.record
        for group in thresholds.read(ROOT / thresholds.SOURCE)
        for threshold in group.thresholds
    }
    assert made <= read


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_no_alert_has_a_number_of_its_own(rule):
    """What an operator may want otherwise stands in thresholds.yml; 0 and 1 are no thresholds."""
    numbers = re.findall(r"(?:[<>]=?|==|!=)\s*(?:bool\s+)?(\d[\d.e+]*)(?![\w.])", rule.expr)
    assert {number for number in numbers if float(number) not in (0, 1)} <= STRUCTURAL.get(
        rule.name, set()
    )
