"""Who hears of which alert: Alertmanager's configuration, read by amtool."""

import re
import subprocess

import pytest
import yaml

from rulebook import ALERTS, ROOT
from servers import until

CONFIG = ROOT / "alertmanager/alertmanager.yml"

SEVERITIES = ("critical", "warning", "info", "none")


def _amtool(words):
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _goes_to(program, config, receivers, **labels):
    words = [*program("amtool"), "config", "routes", "test", f"--config.file={config}"]
    _amtool([*words, f"--verify.receivers={receivers}", *(f"{k}={v}" for k, v in labels.items())])


def _expected(labels, team=""):
    """Return who is to hear of an alert with these labels."""
    if labels["alertname"] == "Watchdog":
        return "heartbeat"
    severity = labels.get("severity")
    if severity == "none":
        return "nobody"
    if severity == "critical":
        return f"critical{team},escalation{team}"
    if labels.get("component") == "cost":
        return f"cost{team}"
    return f"info{team}" if severity == "info" else f"warning{team}"


def test_a_teams_services_are_its_own_and_what_nobody_owns_is_the_default_teams(program, house):
    """A label `team` counts most; then a service that a team names; then `team` of the settings."""
    house.settings(
        "team: platform\n"
        "teams:\n"
        "  platform: {webhook: {url: http://127.0.0.1:1/}}\n"
        "  data: {services: [prices, 'a b', 'c \"d\"'], webhook: {url: http://127.0.0.1:2/}}\n"
    )
    config = house.render()
    _amtool([*program("amtool"), "check-config", str(config)])
    for severity in ("critical", "warning", "info"):
        labels = {"alertname": "Some", "severity": severity, "component": "http"}
        for extra, team in (
            ({"service": "prices"}, "/data"),
            ({"service": "a b"}, "/data"),
            ({"service": "prices", "team": "platform"}, "/platform"),
            ({"service": "prices", "team": "another"}, ""),
            ({"service": "shop"}, "/platform"),
            ({}, "/platform"),
        ):
            _goes_to(program, config, _expected(labels, team=team), **labels, **extra)


@pytest.fixture
def everything(house, mails, hooks):
    """A configuration with every channel on, and a team that has receivers of its own."""
    house.settings("teams: {data: {email: {to: [data@example.org]}}}")
    for name in ("slack_url", "webhook_url", "msteams_url", "heartbeat_url", "escalation_url"):
        house.secret(name, hooks.url(f"/{name}"))
    return house.render(
        email_to="ops@example.org",
        email_from="alerts@example.org",
        email_server=mails.address,
        escalation_email="lead@example.org",
    )


def test_alertmanager_accepts_its_configuration(program):
    """alertmanager.yml is valid as it is for the version that is installed."""
    _amtool([*program("amtool"), "check-config", str(CONFIG)])


def test_alertmanager_accepts_what_is_rendered(program, house, everything):
    """With nothing set, and with every channel that this version knows."""
    _amtool([*program("amtool"), "check-config", str(everything)])
    (house.home.root / "alerting.yml").unlink()
    for path in (house.home.root / "alertmanager/secrets").iterdir():
        path.unlink()
    _amtool([*program("amtool"), "check-config", str(house.render())])


def test_a_fresh_start_tells_nobody(house):
    """No receiver has anything to send by, neither as it is nor rendered."""
    for path in (CONFIG, house.render()):
        for receiver in yaml.safe_load(path.read_text())["receivers"]:
            assert set(receiver) == {"name"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_reaches_its_receiver(program, alert):
    """With the labels that its rule gives it; a template stands for some service."""
    labels = {**alert.labels, "service": "some", "alertname": alert.name}
    _goes_to(program, CONFIG, _expected(labels), **labels)


def test_every_alert_of_every_severity_reaches_its_receiver(house, everything):
    """Asked of a running Alertmanager: a team's go to the team, others' to everybody's receiver."""
    alertmanager = house.start(everything)
    alerts = [
        {**alert.labels, "alertname": alert.name, "service": "some", "severity": severity, **team}
        for alert in ALERTS
        for severity in SEVERITIES
        for team in ({}, {"team": "other"}, {"team": "data"})
    ]
    alertmanager.post(*alerts)
    known = until(lambda: len(found := alertmanager.ask("/api/v2/alerts")) == len(alerts) and found)
    for alert in known:
        team = "/data" if alert["labels"].get("team") == "data" else ""
        receivers = sorted(receiver["name"] for receiver in alert["receivers"])
        assert receivers == sorted(_expected(alert["labels"], team).split(",")), alert["labels"]


def test_what_is_spent_waits_for_working_hours(program, everything):
    """Cost has a receiver of its own, unless it is critical."""
    labels = {"alertname": "CostSpike", "component": "cost"}
    _goes_to(program, everything, "cost", **labels, severity="warning")
    _goes_to(program, everything, "cost/data", **labels, severity="info", team="data")
    _goes_to(program, everything, "critical,escalation", **labels, severity="critical")


def test_an_alert_of_somebody_elses_reaches_people(program, everything):
    """No label is needed to be heard."""
    _goes_to(program, everything, "warning", alertname="Theirs")
    _goes_to(program, everything, "warning", alertname="Theirs", severity="page")


def test_routes_and_inhibitions_name_alerts_that_exist():
    """A renamed alert would fall through its route without a word."""
    lists = re.findall(r'alertname !?= "([^"]+)"', CONFIG.read_text())
    assert lists
    assert set(lists) <= {alert.name for alert in ALERTS}


def test_every_label_that_has_to_be_equal_is_guarded():
    """A label that is missing on both sides counts as equal, so it is demanded on both."""
    for rule in yaml.safe_load(CONFIG.read_text())["inhibit_rules"]:
        for label in rule["equal"]:
            for side in ("source_matchers", "target_matchers"):
                guards = {
                    f'{label} != ""',
                    *(f'{label} = "{n}"' for n in _exact(rule[side], label)),
                }
                assert guards & set(rule[side]), (label, rule)


def _exact(matchers, label):
    return [m for text in matchers for m in re.findall(rf'^{label} = "(.+)"$', text)]


def test_nothing_that_wakes_people_is_inhibited():
    """Every target is of a severity that wakes nobody."""
    for rule in yaml.safe_load(CONFIG.read_text())["inhibit_rules"]:
        severities = {text for text in rule["target_matchers"] if text.startswith("severity")}
        assert severities <= {'severity =~ "warning|info"', 'severity = "info"'}
        assert severities
