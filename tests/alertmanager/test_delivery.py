"""What a running Alertmanager tells to real receivers, and when: minutes made seconds, no more."""

from datetime import UTC, datetime, timedelta

import pytest

from servers import free_port, until

CRITICAL = {"severity": "critical", "service": "shop", "component": "http"}
WARNING = {"severity": "warning", "service": "shop", "component": "http"}
INFO = {"severity": "info", "service": "shop", "component": "http"}

# The waits of the routes that tell people, as short as can be. Those that only an escalation has
# stay: the settings say them.
QUICK = (
    (r"group_wait: (30s|10s|5m|1m)\n", "group_wait: 1s\n"),
    (r"group_interval: (5m|1m|20m|30m)\n", "group_interval: 1s\n"),
)


def _names(alerts, status="firing"):
    return [a["labels"]["alertname"] for a in alerts if a["status"] == status]


@pytest.fixture
def mailing(mails):
    """Settings with which mail goes to the mail server."""
    return {
        "email_to": "ops@example.org",
        "email_from": "alerts@example.org",
        "email_server": mails.address,
        "email_tls": "no",
    }


def test_one_kind_of_trouble_in_one_service_is_one_message(house, hooks):
    """However many machines have it; another service's is another message."""
    config = house.render(QUICK, webhook_url=hooks.url())
    machines = [{**WARNING, "alertname": "Slow", "instance": f"m{n}"} for n in range(20)]
    other = {**WARNING, "alertname": "Slow", "service": "bank", "instance": "m0"}
    house.start(config).post(*machines, other)
    until(lambda: len(hooks.alerts()) >= 21)
    messages = {message["groupLabels"]["service"]: message for message in hooks.at()}
    assert len(messages["shop"]["alerts"]) == 20
    assert messages["shop"]["groupLabels"] == {"alertname": "Slow", "service": "shop"}
    assert len(messages["bank"]["alerts"]) == 1
    assert len(hooks.at()) == 2


def test_what_is_over_is_said_to_everybody_who_was_told(house, hooks, mails, mailing):
    """By mail and by webhook, with the word in the subject."""
    alertmanager = house.start(house.render(QUICK, webhook_url=hooks.url(), **mailing))
    alert = {**WARNING, "alertname": "Slow"}
    alertmanager.post(alert, summary="It is slow")
    until(lambda: mails.to("ops@") and hooks.alerts())
    alertmanager.post(alert, over=True, summary="It is slow")
    until(lambda: len(mails.to("ops@")) == 2 and _names(hooks.alerts(), "resolved"))
    assert [str(mail["Subject"]) for mail in mails.to("ops@")] == [
        "[WARNING] It is slow · shop",
        "[RESOLVED] It is slow · shop",
    ]


def test_nothing_set_is_nobody_told_and_nothing_fails(house):
    """Alerts are shown on Alertmanager's page, and no attempt is made to send any."""
    alertmanager = house.start(house.render(QUICK))
    alertmanager.post({**CRITICAL, "alertname": "Down"}, {"alertname": "Watchdog"})
    until(lambda: alertmanager.flushes() >= 6)
    assert len(alertmanager.ask("/api/v2/alerts")) == 2
    assert "msg=Notify" not in alertmanager.output()
    assert "Notify attempt failed" not in alertmanager.output()


def test_what_nobody_takes_goes_to_somebody_else(house, mails, mailing):
    """Not what is over by then, nor what is silenced: a silence takes it."""
    config = house.render(
        QUICK, escalation_after="20s", escalation_email="lead@example.org", **mailing
    )
    alertmanager = house.start(config)
    taken = {**CRITICAL, "alertname": "Taken"}
    over = {**CRITICAL, "alertname": "Over"}
    # These two first: when the third has waited long enough, they would have, too.
    alertmanager.post(taken, over, {**WARNING, "alertname": "Warning"})
    until(lambda: len(mails.to("ops@")) >= 3)
    alertmanager.silence(alertname="Taken")
    alertmanager.post(over, over=True)
    alertmanager.post({**CRITICAL, "alertname": "Left"}, summary="Nobody came")
    [mail] = until(lambda: mails.to("lead@"))
    assert mail["Subject"] == "[ESCALATED] Nobody came · shop"
    assert "Nobody has taken this for 20 seconds." in mail.get_body(("plain",)).get_content()
    assert len(mails.to("lead@")) == 1
    # Told of once more when it is over, since it was told of at all.
    alertmanager.post({**CRITICAL, "alertname": "Left"}, over=True, summary="Nobody came")
    until(lambda: len(mails.to("lead@")) == 2)
    assert mails.to("lead@")[1]["Subject"] == "[RESOLVED] Nobody came · shop"


def test_where_pagerduty_is_on_its_own_escalation_replaces_ours(house, hooks, mails, mailing):
    """Ours would tell of what somebody has acknowledged there."""
    config = house.render(
        QUICK,
        pagerduty_key="0123456789abcdef0123456789abcdef",
        pagerduty_address=hooks.url("/enqueue"),
        escalation_after="1s",
        escalation_email="lead@example.org",
        **mailing,
    )
    alertmanager = house.start(config)
    alertmanager.post({**CRITICAL, "alertname": "Down"}, summary="The shop is down")
    [event] = until(lambda: hooks.at("/enqueue"))
    assert event["event_action"] == "trigger"
    assert event["payload"]["summary"] == "[CRITICAL] The shop is down · shop"
    assert event["payload"]["severity"] == "critical"
    assert event["routing_key"] == "0123456789abcdef0123456789abcdef"
    until(lambda: mails.to("ops@"))
    alertmanager.look_again(4)
    assert mails.to("lead@") == []


def _window(start, minutes):
    end = start + timedelta(minutes=minutes)
    day = start.strftime("%A").lower()
    return f"{{days: [{day}], from: {start:%H:%M}, to: {end:%H:%M}}}"


def test_warnings_wait_in_maintenance_and_pages_do_not(house, hooks):
    """What is critical is sent at any time; the window passes midnight if need be."""
    now = datetime.now(UTC)
    house.settings(f"timezone: UTC\nmaintenance:\n  - {_window(now - timedelta(minutes=30), 90)}\n")
    alertmanager = house.start(house.render(QUICK, webhook_url=hooks.url()))
    alertmanager.post({**WARNING, "alertname": "Slow"}, {**CRITICAL, "alertname": "Down"})
    until(lambda: "Down" in _names(hooks.alerts()))
    alertmanager.look_again(6)
    assert set(_names(hooks.alerts())) == {"Down"}


def test_outside_maintenance_warnings_are_sent(house, hooks):
    """The same hours of another day hold nothing back."""
    other = datetime.now(UTC) - timedelta(days=3, minutes=30)
    house.settings(f"timezone: UTC\nmaintenance:\n  - {_window(other, 90)}\n")
    alertmanager = house.start(house.render(QUICK, webhook_url=hooks.url()))
    alertmanager.post({**WARNING, "alertname": "Slow"})
    until(lambda: _names(hooks.alerts()) == ["Slow"])


def test_information_and_cost_wait_for_their_hours(house, hooks):
    """Out of hours neither is sent, though a warning is."""
    now = datetime.now(UTC)
    house.settings(f"timezone: UTC\nhours: {_window(now + timedelta(hours=6), 120)}\n")
    alertmanager = house.start(house.render(QUICK, webhook_url=hooks.url()))
    alertmanager.post(
        {**INFO, "alertname": "Idle"},
        {**WARNING, "alertname": "Spent", "component": "cost"},
        {**WARNING, "alertname": "Slow"},
    )
    until(lambda: "Slow" in _names(hooks.alerts()))
    alertmanager.look_again(9)
    assert set(_names(hooks.alerts())) == {"Slow"}


def test_information_is_one_message_in_its_hour(house, hooks):
    """All of it together, in the first hour of the working day; cost in all of it."""
    now = datetime.now(UTC)
    house.settings(f"timezone: UTC\nhours: {_window(now - timedelta(minutes=10), 120)}\n")
    alertmanager = house.start(house.render(QUICK, webhook_url=hooks.url()))
    alertmanager.post(
        {**INFO, "alertname": "Idle"},
        {**INFO, "alertname": "Forecast", "service": "bank"},
        {**WARNING, "alertname": "Spent", "component": "cost"},
    )
    until(lambda: set(_names(hooks.alerts())) == {"Idle", "Forecast", "Spent"})
    [digest] = [message for message in hooks.at() if message["receiver"] == "info"]
    assert sorted(_names(digest["alerts"])) == ["Forecast", "Idle"]


def test_a_team_is_told_by_its_own_channels(house, mails, mailing):
    """What the team says is its own; the rest is everybody's."""
    house.settings("teams: {data: {email: {to: [data@example.org]}}}")
    alertmanager = house.start(house.render(QUICK, **mailing))
    alertmanager.post(
        {**WARNING, "alertname": "Theirs", "team": "data"},
        {**WARNING, "alertname": "Ours", "team": "other"},
    )
    until(lambda: mails.to("data@") and mails.to("ops@"))
    assert "Theirs" in mails.to("data@")[0]["Subject"]
    assert "Ours" in mails.to("ops@")[0]["Subject"]
    assert len(mails.mails) == 2


def test_the_dead_mans_switch_is_called(house, hooks):
    """Watchdog goes to the heartbeat's address, and nowhere else."""
    config = house.render(QUICK, heartbeat_url=hooks.url("/beat"), webhook_url=hooks.url())
    alertmanager = house.start(config)
    alertmanager.post({"alertname": "Watchdog", "severity": "none"})
    until(lambda: hooks.at("/beat"))
    assert hooks.at() == []


def test_a_mail_server_that_wants_a_login_gets_it(house, mails, mailing):
    """The password is the file's, without the line's end that editors put there."""
    house.secret("smtp_password", "correct horse\n")
    config = house.render(QUICK, email_username="ops", **mailing)
    house.start(config).post({**WARNING, "alertname": "Slow"})
    until(lambda: mails.mails)
    assert mails.logins
    assert set(mails.logins) == {("ops", "correct horse")}


def test_a_webhook_gets_its_token(house, hooks):
    """As a bearer's."""
    house.secret("webhook_token", "s3cret\n")
    config = house.render(QUICK, webhook_url=hooks.url())
    house.start(config).post({**WARNING, "alertname": "Slow"})
    until(hooks.at)
    assert hooks.tokens[0] == "Bearer s3cret"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_silences_outlast_a_restart(house, hooks, end):
    """Also a crash, once they have gone to disk (each minute; here each second)."""
    config = house.render(QUICK, webhook_url=hooks.url())
    flags = ("--cluster.listen-address=", "--data.maintenance-interval=1s")
    alertmanager = house.start(config, "one", *flags)
    alertmanager.silence(alertname="Taken")
    kept = house.home.root / "data-one/silences"
    if end == "kill":
        until(lambda: kept.exists() and kept.stat().st_size > 0)
    getattr(alertmanager, end)()
    alertmanager.start()
    states = [silence["status"]["state"] for silence in alertmanager.ask("/api/v2/silences")]
    assert states == ["active"]
    alertmanager.post({**WARNING, "alertname": "Taken"}, {**WARNING, "alertname": "Left"})
    until(lambda: "Left" in _names(hooks.alerts()))
    alertmanager.look_again(4)
    assert set(_names(hooks.alerts())) == {"Left"}


def test_two_alertmanagers_tell_once(house, hooks):
    """Each has every alert, as Prometheus sends it to both; a silence in one holds in both."""
    config = house.render(QUICK, webhook_url=hooks.url())
    ports = [free_port(), free_port()]
    pair = [
        house.start(
            config,
            name,
            f"--cluster.listen-address=127.0.0.1:{own}",
            f"--cluster.advertise-address=127.0.0.1:{own}",
            f"--cluster.peer=127.0.0.1:{other}",
            # How long the second waits for the first to have told.
            "--cluster.peer-timeout=5s",
        )
        for name, own, other in (("one", *ports), ("two", *reversed(ports)))
    ]
    for each in pair:
        until(lambda each=each: each.ask("/api/v2/status")["cluster"]["status"] == "ready")
        until(lambda each=each: len(each.ask("/api/v2/status")["cluster"]["peers"]) == 2)
    pair[0].silence(alertname="Taken")
    until(lambda: pair[1].ask("/api/v2/silences"))
    for each in pair:
        each.post({**WARNING, "alertname": "Slow"}, {**WARNING, "alertname": "Taken"})
    until(hooks.at)
    # One has told. That the other looks at the group again means that it has decided.
    for each in pair:
        each.look_again(5)
    assert _names(hooks.alerts()) == ["Slow"]
    # One of them alone does it, too.
    pair[0].stop()
    pair[1].post({**WARNING, "alertname": "Late"})
    until(lambda: "Late" in _names(hooks.alerts()))


def test_a_receiver_that_fails_for_a_while_is_told_when_it_is_back(house, hooks):
    """Nothing is lost meanwhile."""
    hooks.status = 503
    alertmanager = house.start(house.render(QUICK, webhook_url=hooks.url()))
    alertmanager.post({**WARNING, "alertname": "Slow"})
    until(lambda: len(hooks.at()) >= 2)
    hooks.status = 200
    failed = len(hooks.at())
    until(lambda: len(hooks.at()) > failed)
    assert set(_names(hooks.alerts())) == {"Slow"}
