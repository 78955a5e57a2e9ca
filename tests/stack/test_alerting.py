"""`gnomon alert-config` and `gnomon test-notification`, with real servers where messages arrive."""

import json
from pathlib import Path

import pytest

import servers
from gnomon_stack import loopback
from sinks import mail_server, webhook_server


@pytest.fixture
def hooks():
    """A web server that takes everything."""
    with webhook_server() as server:
        yield server


@pytest.fixture
def real(checkout):
    """A checkout on a machine that has Alertmanager."""
    servers.program("alertmanager")
    servers.program("amtool")
    return checkout


def _secret(checkout, name, text):
    path = checkout.home.root / "alertmanager/secrets" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def test_the_first_alert_config_writes_the_settings_and_says_that_nobody_is_told(real):
    """Every channel with what it needs, and what to do next."""
    done = real.run("alert-config")
    assert done.returncode == 0, done.stderr
    assert "Wrote alerting.yml" in done.stdout
    assert "off: needs alertmanager/secrets/slack_url" in done.stdout
    assert "checked by amtool" in done.stdout
    assert "nobody" in done.stdout


def test_a_mistake_changes_nothing(real, hooks):
    """Neither one in the settings, nor one that only amtool finds."""
    _secret(real, "webhook_url", hooks.url())
    assert real.run("alert-config").returncode == 0
    rendered = real.home.stack / "alertmanager/alertmanager.yml"
    before = rendered.read_text()
    (real.home.root / "alerting.yml").write_text("slak: {}\n")
    refused = real.run("alert-config")
    assert refused.returncode == 2
    assert refused.stderr.startswith("gnomon: alerting.yml:1: slak: unknown key")
    (real.home.root / "alerting.yml").write_text("")
    routes = real.home.root / "alertmanager/alertmanager.yml"
    routes.write_text(routes.read_text().replace("receiver: nobody", "receiver: somebody"))
    refused = real.run("alert-config")
    assert refused.returncode == 2
    assert "somebody" in refused.stderr
    assert rendered.read_text() == before
    left = {path.name for path in real.home.stack.iterdir()}
    assert not [name for name in left if name.startswith("alertmanager-")]


def test_settings_that_cannot_be_meant_stop_the_start(real):
    """Before anything runs, with file, line and key."""
    servers.program("prometheus")
    path = real.home.root / "alerting.yml"
    path.write_text("email:\n  too: x\n")
    path.chmod(0o600)
    done = real.run("up")
    assert done.returncode == 2
    assert "alerting.yml:2: email.too: unknown key (did you mean to?)" in done.stderr
    assert real.processes() == {}


def test_a_running_stack_takes_new_receivers_at_once(stack, hooks):
    """Without a restart; and loses them again when the file is gone."""
    checkout = stack.checkout
    assert "sent to nobody yet" in stack.output()
    before = checkout.pid("--cluster.listen-address")

    def receivers():
        status = json.loads(servers.fetch(checkout.url("alertmanager", "/api/v2/status")))
        return "webhook_configs" in status["config"]["original"]

    assert not receivers()
    _secret(checkout, "webhook_url", hooks.url())
    done = checkout.run("alert-config")
    assert "In force now" in done.stdout, done.stdout + done.stderr
    assert receivers()
    (checkout.home.root / "alertmanager/secrets/webhook_url").unlink()
    assert "In force now" in checkout.run("alert-config").stdout
    assert not receivers()
    assert checkout.pid("--cluster.listen-address") == before


def test_a_test_goes_to_each_channel_and_to_all_that_take_a_kind(real, hooks):
    """And is over at once, so that no incident stays open."""
    with mail_server(password="hunter2") as mails:
        _secret(real, "smtp_password", "hunter2\n")
        _secret(real, "slack_url", hooks.url("/slack"))
        _secret(real, "webhook_url", hooks.url("/hook"))
        real.env["GNOMON_ALERT_EMAIL_TO"] = "ops@example.org"
        real.env["GNOMON_ALERT_EMAIL_FROM"] = "alerts@example.org"
        real.env["GNOMON_ALERT_EMAIL_SERVER"] = mails.address
        real.env["GNOMON_ALERT_EMAIL_USERNAME"] = "alerts"
        real.env["GNOMON_ALERT_EMAIL_TLS"] = "no"
        done = real.run("test-notification", "slack")
        assert done.returncode == 0, done.stderr
        assert "slack: accepted" in done.stdout
        assert (
            "A test: this is how an alert arrives"
            in hooks.at("/slack")[0]["attachments"][0]["title"]
        )
        done = real.run("test-notification", "critical")
        assert done.returncode == 0, done.stderr
        for channel in ("slack", "email", "webhook"):
            assert f"{channel}: accepted" in done.stdout
        assert "Nothing is wrong" in mails.mails[0].get_body(("plain",)).get_content()
        statuses = [message["status"] for message in hooks.at("/hook")]
        assert statuses == ["firing", "resolved"]
    left = {path.name for path in real.home.stack.iterdir()}
    assert not [name for name in left if name.startswith("alertmanager-test")]
    assert real.left() == {}


def test_a_receiver_that_refuses_is_reported_without_its_secret(real, hooks):
    """Why, in the receiver's words; status 1."""
    hooks.status = 403
    _secret(real, "slack_url", hooks.url("/hunter2"))
    _secret(real, "webhook_url", hooks.url("/hunter2"))
    for channel in ("slack", "webhook"):
        done = real.run("test-notification", channel)
        assert done.returncode == 1
        assert done.stderr.startswith(f"gnomon: {channel}: ")
        assert "403" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr


def test_a_mail_server_that_is_not_there_is_reported(real):
    """With its address."""
    port = servers.free_port()
    for name, value in {"TO": "a@b.org", "FROM": "c@d.org", "SERVER": f"127.0.0.1:{port}"}.items():
        real.env[f"GNOMON_ALERT_EMAIL_{name}"] = value
    done = real.run("test-notification", "email")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "refused" in done.stderr


@pytest.mark.parametrize(
    ("receiver", "code", "message"),
    [
        ("slack", 1, "slack is off: it needs alertmanager/secrets/slack_url"),
        ("critical", 1, "critical is off: no channel takes it"),
        ("fax", 2, "RECEIVER=fax: expected one of pagerduty, slack, msteams, email, webhook"),
        ("", 2, "RECEIVER=: expected one of"),
        ("slack/data", 2, "RECEIVER=slack/data: no such team"),
    ],
)
def test_a_receiver_that_cannot_be_tried_is_refused(real, receiver, code, message):
    """With what it needs, or with what there is."""
    done = real.run("test-notification", receiver)
    assert done.returncode == code
    assert message in done.stderr


def test_links_lead_to_where_people_reach_the_servers(real):
    """A path in them changes nothing on loopback; times are those of the time zone."""
    servers.program("prometheus")
    real.env["GNOMON_ALERT_URLS_ALERTMANAGER"] = "https://watch.example.org/alerts"
    real.env["GNOMON_ALERT_URLS_PROMETHEUS"] = "https://watch.example.org/prometheus/"
    real.env["GNOMON_ALERT_TIMEZONE"] = "Europe/Berlin"
    stack = real.start()
    flags = loopback.data(real.ports["prometheus"], "/api/v1/status/flags")
    assert flags["web.external-url"] == "https://watch.example.org/prometheus/"
    servers.fetch(real.url("alertmanager", "/-/ready"))
    pid = real.pid("--cluster.listen-address")
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert b"--web.external-url=https://watch.example.org/alerts" in command
    environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert b"TZ=Europe/Berlin" in environ
    # What the settings say, which may be a secret, is not handed on to every part.
    assert not [each for each in environ if each.startswith(b"GNOMON_ALERT_")]
    stack.said("sent to nobody yet")
    assert real.run("down").returncode == 0
