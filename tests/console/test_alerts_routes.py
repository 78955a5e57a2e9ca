"""Who is told of an alert, and when: held against what a real Alertmanager says and does."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from alertmanagers import House
from gnomon_console.alerts.alertmanager import Alert, Matcher, Silence
from gnomon_console.alerts.routes import Routes, steps
from servers import until

_TEAMS = """
team: platform
teams:
  platform: {}
  data:
    services: [prices, "we\\"ird"]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """An Alertmanager with everything on: channels, teams, an escalation."""
    with ExitStack() as stack:
        house = House(tmp_path_factory.mktemp("house"), stack)
        house.settings(_TEAMS)
        config = house.render(
            webhook_url="http://127.0.0.1:1/a",
            escalation_url="http://127.0.0.1:1/b",
            escalation_after="20m",
            email_to="ops@example.org",
            email_from="alerts@example.org",
            email_server="127.0.0.1:1",
        )
        yield house.start(config)


@pytest.fixture(scope="module")
def routes(running):
    """Its routes, as it says them."""
    return Routes(running.ask("/api/v2/status")["config"]["original"])


ALERTS = [
    {"alertname": "Watchdog", "severity": "none"},
    {"alertname": "Inhibits", "severity": "none"},
    {"alertname": "Down", "severity": "critical", "service": "shop"},
    {"alertname": "Down", "severity": "critical", "service": "prices"},
    {"alertname": "Down", "severity": "critical", "service": 'we"ird'},
    {"alertname": "Down", "severity": "critical", "team": "data"},
    {"alertname": "Slow", "severity": "warning", "service": "shop"},
    {"alertname": "Slow", "severity": "warning", "service": "prices", "team": "platform"},
    {"alertname": "Costs", "severity": "info", "component": "cost"},
    {"alertname": "Note", "severity": "info"},
    {"alertname": "Odd", "severity": "strange"},
    {"alertname": "Bare"},
]


def test_an_alert_goes_where_alertmanager_says(running, routes):
    """Of each kind, with teams and without."""
    running.post(*ALERTS)

    def said():
        found = running.ask("/api/v2/alerts")
        return found if len(found) == len(ALERTS) else None

    for each in until(said):
        receivers = {one["name"] for one in each["receivers"]}
        assert {route.receiver for route in routes.of(each["labels"])} == receivers, each["labels"]


def test_the_waits_are_the_configurations(routes):
    """Somebody is told at once, somebody else when nobody has taken it."""
    first, second = routes.of({"alertname": "Down", "severity": "critical", "service": "shop"})
    assert (first.receiver, first.wait, first.interval) == (
        "critical/platform",
        timedelta(seconds=10),
        timedelta(minutes=1),
    )
    assert first.channels == ("e-mail", "webhook")
    assert (second.receiver, second.wait, second.interval) == (
        "escalation/platform",
        timedelta(minutes=20),
        timedelta(minutes=5),
    )


def test_what_keeps_to_hours_says_so(routes):
    """An empty maintenance keeps nothing."""
    [cost] = routes.of({"severity": "info", "component": "cost"})
    assert cost.hours == ("hours",)
    [warning] = routes.of({"severity": "warning"})
    assert warning.hours == ()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "route: x", "a: [", "receivers: []"],
)
def test_what_is_no_configuration_is_refused(text):
    """The page then says nothing of who is told."""
    with pytest.raises(ValueError, match="configuration"):
        Routes(text)


@pytest.mark.parametrize(
    ("matchers", "labels", "taken"),
    [
        ("matchers: ['a=\"1\"', 'b=~\"x.*\"']", {"a": "1", "b": "xy"}, True),
        ("matchers: ['a=\"1\"', 'b=~\"x.*\"']", {"a": "1", "b": "yx"}, False),
        ('matchers: [\'{a="1",b!="2"}\']', {"a": "1"}, True),
        ('matchers: [\'{a="1",b!="2"}\']', {"a": "1", "b": "2"}, False),
        ("matchers: [a = 1]", {"a": "1"}, True),
        ("matchers: ['a !~ \"1|2\"']", {"a": "3"}, True),
        ("matchers: ['a !~ \"1|2\"']", {"a": "2"}, False),
        ('matchers: [\'"a.b" = "q\\"q"\']', {"a.b": 'q"q'}, True),
        ("match: {a: b}", {"a": "b"}, True),
        ("match_re: {a: b+}", {"a": "bb"}, True),
        ("match_re: {a: b+}", {"a": "abb"}, False),
    ],
)
def test_matchers_of_every_kind_are_read(matchers, labels, taken):
    """As they are written in configurations old and new."""
    text = f"""
route: {{receiver: all, routes: [{{receiver: one, {matchers}}}]}}
receivers: [{{name: all}}, {{name: one, webhook_configs: [{{url: x}}]}}]
"""
    [route] = Routes(text).of(labels)
    assert route.receiver == ("one" if taken else "all")


# When somebody is told: critical after 10 s, then each minute; the lead after 20 min, each 5 min.

_DOWN = {"alertname": "Down", "severity": "critical", "service": "shop"}
_SINCE = datetime(2026, 11, 2, 12, tzinfo=UTC)


def at(minutes):
    """Return a time, in minutes after the alert began."""
    return _SINCE + timedelta(minutes=minutes)


def silence(starts, ends, *, comment="", author="Ada", state="active"):
    """Return a silence of the alert, from one minute to another."""
    matchers = tuple(Matcher(name, "=", value) for name, value in _DOWN.items())
    return Silence("id", matchers, author, comment, at(starts), at(ends), at(starts), state)


def said(routes, now, *silences, inhibited=False):
    """Return the state, the minute and the name of the lead's step; the first is told at once."""
    held = tuple(each.id for each in silences if each.starts <= at(now) < each.ends)
    alert = Alert("f", _DOWN, {}, _SINCE, silences=held, inhibited=inhibited)
    first, lead = steps(alert, routes.of(_DOWN), silences, at(now))
    if not inhibited:
        assert (first.state, first.at) == ("told", _SINCE + timedelta(seconds=10))
    return lead.state, lead.at and (lead.at - _SINCE) / timedelta(minutes=1), lead.by


def test_the_lead_is_told_of_what_nobody_takes(routes):
    """When the wait is over."""
    assert said(routes, 5) == ("next", 20, "")
    assert said(routes, 25) == ("told", 20, "")


def test_an_acknowledgement_stops_the_escalation(routes):
    """Until its chosen end, not that of the silence that is renewed; or for good."""
    until_one = silence(5, 13, comment="Acknowledged until 2026-11-02T13:02:00Z: on it")
    assert said(routes, 10, until_one) == ("held", 65, "Ada")
    for_good = silence(5, 13, comment="Acknowledged until it is over")
    assert said(routes, 10, for_good) == ("held", None, "Ada")


def test_a_silence_that_ends_before_the_wait_stops_nothing(routes):
    """The lead is told at the same minute."""
    assert said(routes, 10, silence(2, 12)) == ("next", 20, "")


def test_a_silence_that_has_ended_was_followed_by_the_next_look(routes):
    """And one that came after the lead was told changes nothing."""
    assert said(routes, 50, silence(5, 33, state="expired")) == ("told", 35, "")
    assert said(routes, 34, silence(5, 33, state="expired")) == ("next", 35, "")
    assert said(routes, 50, silence(30, 90)) == ("told", 20, "")


def test_what_something_graver_explains_is_told_to_nobody(routes):
    """For as long as that fires."""
    assert said(routes, 5, inhibited=True)[0] == "held"


def test_where_nobody_is_behind_a_receiver_nobody_is_told():
    """As after a fresh start."""
    routes = Routes("route: {receiver: nobody}\nreceivers: [{name: nobody}]")
    assert steps(Alert("f", _DOWN, {}, _SINCE), routes.of(_DOWN), (), at(9)) == []
