"""Alerts: what a real Alertmanager says of them, who takes them, what has been."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import rulebook
import servers
from alertmanagers import House
from gnomon_console.alerts.alertmanager import Alert, Alertmanager, AlertsError, Matcher
from gnomon_console.alerts.runbooks import section

LABELS = {
    "alertname": "ServiceErrorsHigh",
    "service": "shop",
    "severity": "critical",
    "instance": "a",
}


@pytest.fixture
def running(tmp_path):
    """An Alertmanager with the checked-in configuration."""
    with ExitStack() as stack:
        house = House(tmp_path / "house", stack)
        yield house.start(house.render())


def asked(url: str, what: Callable[[Alertmanager], Awaitable[object]]) -> object:
    """Return what an Alertmanager says to some questions."""

    async def ask() -> object:
        client = Alertmanager(url)
        try:
            return await what(client)
        finally:
            await client.close()

    return asyncio.run(ask())


async def eventually(what: Callable[[], Awaitable[Any]]) -> Any:
    """Return the first true answer; whoever calls it sets a deadline."""
    found = await what()
    while not found:
        await asyncio.sleep(0.1)
        found = await what()
    return found


def test_what_fires_comes_with_all_that_is_known_of_it(running):
    """Its labels and words, whether it is silenced, and by what."""
    other = {**LABELS, "instance": "b"}
    running.post(LABELS, other, summary="shop fails")

    async def steps(client: Alertmanager) -> None:
        async def both() -> list[Alert]:
            alerts = await client.alerts()
            return alerts if len(alerts) == 2 else []

        alerts = await eventually(both)
        one = next(each for each in alerts if each.labels["instance"] == "a")
        assert (one.name, one.service, one.severity) == ("ServiceErrorsHigh", "shop", "critical")
        assert one.annotations["summary"] == "shop fails"
        assert one.source.startswith("http://prometheus.example.org/")
        ends = datetime.now(UTC) + timedelta(hours=1)
        matchers = [Matcher("instance", "=~", "a|c"), Matcher("service", "!=", "bank")]
        silence = await client.silence(matchers, "Ada", "on it", ends)

        async def taken() -> dict[str, tuple[str, ...]]:
            return {a.labels["instance"]: a.silences for a in await client.alerts()}

        async def is_taken() -> bool:
            return await taken() == {"a": (silence,), "b": ()}

        async def is_free() -> bool:
            return await taken() == {"a": (), "b": ()}

        await eventually(is_taken)
        [found] = await client.silences()
        assert (found.author, found.comment, found.state) == ("Ada", "on it", "active")
        assert found.words == 'instance=~"a|c", service!="bank"'
        assert [found.fits(each) for each in (LABELS, other)] == [True, False]
        assert abs((found.ends - ends).total_seconds()) < 1
        later = ends + timedelta(hours=1)
        assert await client.silence(matchers, "Ada", "on it", later, found) == silence
        await client.expire(silence)
        await eventually(is_free)
        [found] = await client.silences()
        assert (found.state, found.by_hand) == ("expired", True)

    asked(running.url, lambda client: asyncio.wait_for(steps(client), 60))


def test_what_it_refuses_is_said(running):
    """In its own words."""
    with pytest.raises(AlertsError, match="refused"):
        asked(running.url, lambda client: client.expire("none-such"))


def test_nobody_there_is_said_with_the_address():
    """Not as an empty list, which would say that all is well."""
    url = f"http://127.0.0.1:{servers.free_port()}"
    with pytest.raises(AlertsError, match=f"{url} cannot be reached"):
        asked(url, lambda client: client.alerts())


@pytest.mark.parametrize("alert", rulebook.ALERTS, ids=lambda alert: alert.name)
def test_every_alerts_runbook_is_found(alert):
    """The section with its own heading, and no other."""
    found = section(rulebook.ROOT, alert.annotations["runbook_url"])
    assert found is not None
    assert found.startswith(f"## {alert.name}")
    assert found.count("\n## ") == 0


@pytest.mark.parametrize(
    "link",
    [
        "https://wiki.example.org/a",
        "docs/runbooks/host.md#nothing",
        "docs/runbooks/../../pyproject.md#a",
        "docs/runbooks/none.md#hostdown",
        "",
    ],
)
def test_what_is_no_runbook_here_is_none(link):
    """And no other file is read."""
    assert section(rulebook.ROOT, link) is None
