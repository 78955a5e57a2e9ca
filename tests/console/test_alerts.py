"""Alerts: what a real Alertmanager says of them, who takes them, what has been."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

import rulebook
import servers
from alertmanagers import House
from gnomon_console.alerts.alertmanager import Alert, Alertmanager, AlertsError
from gnomon_console.alerts.history import Episode, History, means
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


def test_an_alert_is_taken_and_let_go(running):
    """By a silence of exactly that alert, in somebody's name, which can be ended."""
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
        silence = await client.acknowledge(one.labels, "Ada", "on it", timedelta(hours=1))

        async def taken() -> dict[str, tuple[str, ...]]:
            return {a.labels["instance"]: a.silences for a in await client.alerts()}

        async def is_taken() -> bool:
            return await taken() == {"a": (silence,), "b": ()}

        async def is_free() -> bool:
            return await taken() == {"a": (), "b": ()}

        await eventually(is_taken)
        [found] = await client.silences()
        assert (found.author, found.comment, found.acknowledges) == (
            "Ada",
            "Acknowledged: on it",
            True,
        )
        assert 'instance="a"' in found.matchers
        await client.expire(silence)
        await eventually(is_free)
        assert await client.silences() == []

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


def test_what_has_been_is_kept(running, tmp_path):
    """From its beginning to its end, with who took it; an outage of Alertmanager ends nothing."""
    path = tmp_path / "history" / "alerts.db"

    async def steps(client: Alertmanager) -> None:
        history = History(path, client)

        async def until(what: Callable[[Episode], object]) -> Episode:
            async def there() -> Episode | None:
                await history.look()
                found = history.episodes(0)
                return found[0] if found and what(found[0]) else None

            found: Episode = await eventually(there)
            return found

        running.post(LABELS, {"alertname": "Watchdog", "severity": "none"}, summary="shop fails")
        first = await until(lambda each: each.name)
        assert (first.name, first.summary, first.ended) == ("ServiceErrorsHigh", "shop fails", None)
        await client.acknowledge(LABELS, "Ada", "", timedelta(hours=1))
        assert (await until(lambda each: each.taken)).taker == "Ada"

        address, client._address = client._address, f"http://127.0.0.1:{servers.free_port()}"
        for _ in range(3):
            await history.look()
        assert "cannot be reached" in history.trouble
        assert history.episodes(0)[0].ended is None

        client._address = address
        running.post(LABELS, over=True)
        over = await until(lambda each: each.ended)
        assert over.began == first.began
        assert len(history.episodes(0)) == 1
        history.close()
        # Somebody starts the console again.
        history = History(path, client)
        assert history.episodes(0) == [over]
        history.close()

    asked(running.url, lambda client: asyncio.wait_for(steps(client), 90))


def test_the_means_of_a_service():
    """Over what there is: nobody took the second, and the third still fires."""

    def episode(began: float, ended: float | None, taken: float | None) -> Episode:
        return Episode("A", "critical", "shop", {}, "", began, ended, taken, "")

    [found] = means([episode(0, 100, 10), episode(1000, 1300, None), episode(4000, None, 4030)])
    assert (found.service, found.count) == ("shop", 3)
    assert (found.to_take, found.to_end, found.between) == (20, 200, 2000)
    [alone] = means([episode(5, None, None)])
    assert (alone.to_take, alone.to_end, alone.between) == (None, None, None)


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
