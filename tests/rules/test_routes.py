"""Who hears of which alert: Alertmanager's configuration, read by amtool and by Alertmanager."""

import json
import re
import subprocess
import time
import urllib.request

import pytest

from rulebook import ALERTS, ROOT
from servers import Server, fetch

CONFIG = ROOT / "alertmanager/alertmanager.yml"

# Everything else goes where people read it.
NOT_READ = {"Watchdog": "heartbeat"}


def _amtool(words):
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_alertmanager_accepts_its_configuration(program):
    """alertmanager.yml is valid for the version that is installed."""
    _amtool([*program("amtool"), "check-config", str(CONFIG)])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_reaches_its_receiver(program, alert):
    """With the labels that its rule gives it; a template stands for some service."""
    labels = {**alert.labels, "service": "some", "alertname": alert.name}
    receiver = NOT_READ.get(alert.name, "webhook")
    words = [*program("amtool"), "config", "routes", "test", f"--config.file={CONFIG}"]
    _amtool([*words, f"--verify.receivers={receiver}", *(f"{k}={v}" for k, v in labels.items())])


def test_an_alert_of_somebody_elses_reaches_people(program):
    """No label is needed to be heard."""
    words = [*program("amtool"), "config", "routes", "test", f"--config.file={CONFIG}"]
    _amtool([*words, "--verify.receivers=webhook", "alertname=Theirs"])


def test_routes_and_inhibitions_name_alerts_that_exist():
    """A renamed alert would fall through its route without a word."""
    lists = re.findall(r'alertname !?=~? "([^"]+)"', CONFIG.read_text())
    named = {name for names in lists for name in names.split("|")}
    assert named
    assert named <= {alert.name for alert in ALERTS}


@pytest.fixture
def alertmanager(program, free_port, tmp_path):
    """The address of an Alertmanager that runs with the configuration as it is."""
    url = f"http://127.0.0.1:{free_port()}"
    words = [
        *program("alertmanager"),
        f"--config.file={CONFIG}",
        f"--storage.path={tmp_path}/data",
        "--cluster.listen-address=",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with Server(words, ready=f"{url}/-/ready", log=tmp_path / "log"):
        yield url


def _post(url, alerts):
    body = json.dumps([{"labels": labels} for labels in alerts]).encode()
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5):
        pass


def _heard(url):
    """Return the numbers of the alerts that nothing inhibits, once Alertmanager has judged all."""
    end = time.monotonic() + 30
    while True:
        alerts = json.loads(fetch(f"{url}/api/v2/alerts"))
        if alerts and all(alert["status"]["state"] != "unprocessed" for alert in alerts):
            return {a["labels"]["n"] for a in alerts if not a["status"]["inhibitedBy"]}
        assert time.monotonic() < end
        time.sleep(0.1)


def test_one_cause_is_one_message(alertmanager):
    """A dead target holds back its own warnings: no page, nobody else's, no unlabelled one."""
    down = {"alertname": "TargetDown", "severity": "warning"}
    almost = {"alertname": "HostFilesystemAlmostFull", "severity": "critical", "instance": "c"}
    filling = {"alertname": "HostFilesystemFillingUp", "severity": "warning", "instance": "c"}
    warning = {"alertname": "Other", "severity": "warning"}
    held = [
        {**warning, "instance": "a", "n": "held: the same instance"},
        {**warning, "instance": "a", "severity": "info", "n": "held: information"},
        {**filling, "mountpoint": "/", "n": "held: full already"},
    ]
    heard = [
        {**down, "instance": "a", "n": "the cause"},
        {**down, "n": "a cause without an instance"},
        {**down, "instance": "a", "job": "other", "n": "another target of that instance"},
        {**warning, "instance": "a", "severity": "critical", "n": "a page"},
        {**warning, "instance": "b", "n": "another instance"},
        {**warning, "n": "no instance"},
        {**almost, "mountpoint": "/", "n": "full"},
        {**almost, "n": "full, without a mount point"},
        {**filling, "mountpoint": "/data", "n": "another mount point"},
        {**filling, "n": "filling, without a mount point"},
    ]
    # The causes first: Alertmanager judges each alert by what it knows when it is asked.
    _post(alertmanager, heard)
    _post(alertmanager, held)
    end = time.monotonic() + 30
    expected = {labels["n"] for labels in heard}
    while _heard(alertmanager) != expected and time.monotonic() < end:
        time.sleep(0.2)
    assert _heard(alertmanager) == expected
