"""What has been: in a file and in a real PostgreSQL, through outages of everything."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

import servers
from console.burning import town as started
from console.burning import watching
from databases import postgresql_server
from gnomon_console.alerts import database as databases
from gnomon_console.alerts.alertmanager import Alert, Matcher, Silence
from gnomon_console.alerts.database import Database, DatabaseError, backend
from gnomon_console.alerts.firing import Past
from gnomon_console.alerts.history import History
from gnomon_console.settings import settings
from gnomon_exporter.strict_yaml import ConfigError

#: When the episodes of these tests begin, in Unix seconds: a round time of these days.
T = 1_795_000_000.0

DOWN = {
    "alertname": "Down",
    "service": "shop",
    "severity": "critical",
    "instance": "a",
    "host": "a",
}
#: As Prometheus says it: without what is added on the way to Alertmanager.
BARE = {name: value for name, value in DOWN.items() if name != "host"}


@pytest.fixture(scope="module")
def postgresql():
    """A PostgreSQL."""
    with postgresql_server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request):
    """Where the history is: in a file, or at a server whose tables are empty."""
    if request.param == "sqlite":
        return ""
    running = request.getfixturevalue("postgresql")
    running.say("DROP TABLE IF EXISTS alert_episodes, alert_known")
    return running.url()


def at(seconds):
    """Return a time of these tests."""
    return datetime.fromtimestamp(T + seconds, UTC)


def alert(labels=DOWN, since=0.0, **other):
    """Return an alert that fires."""
    return Alert("f", labels, {"summary": "It is down"}, at(since), **other)


def silence(author="Ada", since=0.0, comment="Acknowledged until it is over: on it", **labels):
    """Return a silence of what has these labels."""
    matchers = tuple(Matcher(name, "=", value) for name, value in labels.items())
    ends = at(since) + timedelta(hours=1)
    return Silence(author, matchers, author, comment, at(since), ends, at(since))


class Kept:
    """A history, used from tests that are no coroutines."""

    def __init__(self, run, history):
        self._run, self.history = run, history

    def note(self, *alerts, at_s, silences=(), ended=lambda _: True, until=True):
        """Write down what fires at a time."""
        self._run(
            self.history.note(
                alerts, silences, at=T + at_s, ended=ended, until=T + at_s if until else None
            )
        )

    def fill(self, start, end, *past, firing=(), silences=()):
        """Write down what Prometheus says of a time, with the Watchdog that was always there."""
        past = [Past({"alertname": "Watchdog", "severity": "none"}, T, None, True), *past]
        self._run(self.history.fill(past, firing, silences, T + start, T + end))

    def spans(self):
        """Return from when to when things fired, the oldest first."""
        return [
            (each.began - T, None if each.ended is None else each.ended - T)
            for each in reversed(self.all())
        ]

    def all(self):
        """Return the episodes."""
        return self._run(self.history.episodes(0))


@pytest.fixture
def kept(address, tmp_path):
    """An empty history."""
    with asyncio.Runner() as runner:
        found = Kept(runner.run, History(Database(backend(address, tmp_path / "c/alerts.db"))))
        yield found
        found.history.close()


def spell(start, end, labels=BARE, *, known=True):
    """Return that something fired."""
    return Past(labels, T + start, None if end is None else T + end, known)


def test_an_alert_is_kept_from_its_beginning_to_its_end(kept):
    """It has ended when it was first missing; once may be a slip."""
    kept.note(alert(), at_s=3)
    kept.note(alert(), at_s=8)
    [found] = kept.all()
    assert (found.name, found.service, found.severity) == ("Down", "shop", "critical")
    assert (found.labels, found.summary, found.ended) == (DOWN, "It is down", None)
    kept.note(at_s=13)
    assert kept.spans() == [(0, None)]
    kept.note(alert(), at_s=18)
    kept.note(at_s=23)
    assert kept.spans() == [(0, None)]
    kept.note(at_s=28)
    assert kept.spans() == [(0, 23)]


def test_one_that_begins_again_between_two_looks_is_another(kept):
    """The first was over at some time since it was last seen."""
    kept.note(alert(), at_s=5)
    kept.note(alert(since=9), at_s=10)
    assert kept.spans() == [(0, 5), (9, None)]


def test_who_takes_it_is_who_silences_it_first_after_it_began(kept):
    """A silence that was there before, as for maintenance, is nobody's answer."""
    planned = silence("planned", -600, "maintenance", alertname="Down")
    kept.note(alert(), at_s=5, silences=[planned])
    assert kept.all()[0].taken is None
    ada = silence("Ada", 60, instance="a", alertname="Down")
    bob = silence("Bob", 30, "mine", alertname="Down")
    other = silence("Eve", 10, instance="b")
    kept.note(alert(), at_s=65, silences=[ada, planned, other, bob])
    [found] = kept.all()
    assert (found.taker, found.reason, found.taken - T) == ("Bob", "mine", 30)


def test_an_alert_is_the_same_by_whomever_it_is_said(kept):
    """Prometheus does not know what is added to labels on the way to Alertmanager."""
    kept.note(alert(BARE, known=False), at_s=5)
    kept.note(alert(since=1), at_s=10)
    kept.note(alert(BARE, known=False), at_s=15)
    [found] = kept.all()
    assert (found.began - T, found.labels, found.summary) == (5, DOWN, "It is down")
    kept.note(alert({**DOWN, "instance": "b"}), alert(), at_s=20)
    assert len(kept.all()) == 2


def test_what_nobody_can_say_has_not_ended(kept):
    """While Alertmanager is away, what Prometheus never knew may go on."""
    kept.note(alert(), alert({"alertname": "Other"}), at_s=5)
    for moment in (10, 15, 20):
        kept.note(at_s=moment, ended=lambda labels: labels["alertname"] == "Down")
    assert {each.name: each.ended and each.ended - T for each in kept.all()} == {
        "Down": 10,
        "Other": None,
    }


def test_what_is_there_always_is_no_news(kept):
    """Watchdog, and what only inhibits."""
    kept.note(alert({"alertname": "Watchdog", "severity": "none"}), at_s=5)
    assert kept.all() == []


def test_what_happened_while_nobody_looked_is_filled_in(kept):
    """It ended and began again, something else came and went, and who took it is known, too."""
    kept.note(alert(), at_s=10)
    # By Alertmanager's labels, of which Prometheus' past knows fewer.
    bob = silence("Bob", 4000, alertname="Gone", service="shop", severity="warning", host="a")
    gone = {"alertname": "Gone", "service": "shop", "severity": "warning"}
    kept.fill(
        10,
        9000,
        spell(10, 600, known=False),
        spell(3000, 5000, gone),
        spell(7000, None),
        firing=[alert(since=6990)],
        silences=[bob],
    )
    assert kept.spans() == [(0, 600), (3000, 5000), (7000, None)]
    assert kept.all()[1].taker == "Bob"
    kept.note(alert(since=6990), at_s=9000)
    assert kept.spans() == [(0, 600), (3000, 5000), (7000, None)]
    assert kept.all()[0].labels == DOWN


def test_the_past_comes_in_parts(kept):
    """What lasted over the border of two is one."""
    kept.fill(0, 1000, spell(500, None))
    kept.fill(1000, 2000, spell(1000, 1500, known=False), spell(1600, 1700))
    kept.fill(2000, 3000)
    assert kept.spans() == [(500, 1500), (1600, 1700)]


def test_the_past_is_not_told_twice(kept):
    """What was seen to end is what Prometheus says a little less exactly."""
    kept.note(alert(), at_s=5)
    kept.note(at_s=100)
    kept.note(at_s=105)
    assert kept.spans() == [(0, 100)]
    for _ in range(2):
        kept.fill(0, 1000, spell(20, 129), spell(400, 500))
    assert kept.spans() == [(0, 100), (400, 500)]


def test_what_prometheus_has_not_seen_since_was_over_at_once(kept):
    """And what another Prometheus fires goes on."""
    kept.note(alert(), alert({"alertname": "Other"}), at_s=10)
    kept.fill(10, 900, firing=[alert({"alertname": "Other"})])
    assert {each.name: each.ended and each.ended - T for each in kept.all()} == {
        "Down": 10,
        "Other": None,
    }


def test_hostile_texts_are_kept_as_text(kept):
    """No byte of a label ends a statement, a string or the console."""
    labels = {
        "alertname": "'; DROP TABLE alert_episodes; --",
        "service": "\0nul\ud800half",
        "html": "<script>alert(1)</script>" + "x" * 100_000,
        "emoji": "🔥%s?",
    }
    mean = silence("O'Ada\0", 1, "\ud800", html=labels["html"])
    kept.note(alert(labels), at_s=5, silences=[mean])
    kept.note(alert(labels), at_s=10, silences=[mean])
    [found] = kept.all()
    assert (found.name, found.service) == ("'; DROP TABLE alert_episodes; --", "nul?half")
    assert found.labels["emoji"] == "🔥%s?"
    assert len(found.labels["html"]) < 5000
    assert (found.taker, found.reason) == ("O'Ada", "?")
    kept.note(at_s=15)
    kept.note(at_s=20)
    assert kept.spans() == [(0, 15)]


def test_the_file_is_its_owners_alone(tmp_path):
    """Who took what is not everybody's business."""
    with asyncio.Runner() as runner:
        history = History(Database(backend("", tmp_path / "c/alerts.db")))
        assert runner.run(history.known()) == 0
        history.close()
    assert (tmp_path / "c").stat().st_mode & 0o077 == 0
    for path in (tmp_path / "c").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_two_consoles_with_one_database_keep_one_history(postgresql, tmp_path):
    """Each sees what the other has written, at the same moment."""
    postgresql.say("DROP TABLE IF EXISTS alert_episodes, alert_known")

    async def both():
        ours = [History(Database(backend(postgresql.url(), tmp_path))) for _ in range(2)]
        alerts = [alert({**DOWN, "instance": str(number)}) for number in range(20)]
        for moment in (5, 10, 15):
            await asyncio.gather(
                *(
                    each.note(alerts, (), at=T + moment, ended=lambda _: True, until=T + moment)
                    for each in ours
                )
            )
        found = await ours[0].episodes(0)
        for each in ours:
            each.close()
        return found

    assert len(asyncio.run(both())) == 20


# A database that is away.


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Houses that burn, and who notices."""
    with started(tmp_path_factory.mktemp("town")) as made:
        yield made


def house(name, alerts):
    """Return what is of one house."""
    return [each for each in alerts if each.labels.get("house") == name]


def test_a_database_that_is_away_holds_up_nothing(town, tmp_path):
    """What fires is shown meanwhile; what was missed is made up for, with nothing said twice."""
    port = servers.free_port()
    address = f"postgresql://gnomon:hunter2@127.0.0.1:{port}/gnomon"

    async def steps(made):
        town.burns.add("inn")
        [fire] = await made.until(lambda: house("inn", made.watch.now.alerts))
        began = fire.since.timestamp()
        assert "History" in made.watch.now.trouble
        assert "hunter2" not in made.watch.now.trouble["History"]
        town.burns.discard("inn")
        await made.until(lambda: not house("inn", made.watch.now.alerts))
        with postgresql_server(port=port) as running:
            await made.until(lambda: "History" not in made.watch.now.trouble)
            [found] = house("inn", made.watch.past.episodes)
            assert abs(found.began - began) < 10
            town.burns.add("mill")
            await made.until(lambda: house("mill", made.watch.now.alerts))
            # Restarted by somebody: the next look simply goes on.
            running.say(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'gnomon-console'"
            )
            town.burns.discard("mill")
            await made.until(lambda: not house("mill", made.watch.now.alerts))
            while not [e for e in house("mill", made.watch.past.episodes) if e.ended]:
                await made.until(lambda: True)
                assert "History" not in made.watch.now.trouble
        await made.until(lambda: "History" in made.watch.now.trouble)
        [found] = house("inn", made.watch.past.episodes)
        assert found.ended > found.began

    there = (town.alertmanager.url, town.prometheus, tmp_path / "none.db")
    watching(steps, *there, address=address)


def test_a_database_that_says_nothing_holds_up_nothing(postgresql, town, tmp_path, monkeypatch):
    """A server that stands still still takes each packet: the console does not wait for it."""
    monkeypatch.setattr(databases, "_PATIENCE_S", 1)
    postgresql.say("DROP TABLE IF EXISTS alert_episodes, alert_known")

    def backends(what):
        """Stop the server and its processes, or let them go on."""
        server = postgresql.server.process.pid
        asked = ["pgrep", "-P", str(server)]
        found = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30)
        for pid in (server, *map(int, found.stdout.split())):
            os.kill(pid, what)

    async def steps(made):
        await made.until(lambda: not made.watch.now.trouble)
        backends(signal.SIGSTOP)
        try:
            began = time.monotonic()
            for _ in range(5):
                await made.watch.look()
            assert time.monotonic() - began < 10
            await made.watch.written()
            assert "History" in made.watch.now.trouble
        finally:
            backends(signal.SIGCONT)
        await made.until(lambda: not made.watch.now.trouble)

    there = (town.alertmanager.url, town.prometheus, tmp_path / "none.db")
    watching(steps, *there, address=postgresql.url())


def test_a_database_that_never_answers_is_given_up(tmp_path, monkeypatch):
    """Within seconds, in words that hold no password."""
    monkeypatch.setattr(databases, "_PATIENCE_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        address = f"postgresql://gnomon:hunter2@127.0.0.1:{port}/gnomon"

        async def ask():
            history = History(Database(backend(address, tmp_path)))
            with pytest.raises(DatabaseError) as failed:
                await history.known()
            history.close()
            return str(failed.value)

        began = time.monotonic()
        text = asyncio.run(ask())
        assert time.monotonic() - began < 30
        assert "timeout" in text
        assert "hunter2" not in text


@pytest.mark.parametrize(
    "address",
    [
        "mysql://gnomon:hunter2@127.0.0.1/gnomon",
        "postgresql://gnomon:hunter2@[::1/gnomon",
        "hunter2",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(address, tmp_path):
    """Nobody reads it in a log, nor in what a debugger shows of the settings."""
    with pytest.raises(ConfigError, match="GNOMON_CONSOLE_DATABASE: no such address") as refused:
        backend(address, tmp_path)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(settings({"GNOMON_CONSOLE_DATABASE": address}))


_WRITER = """
import asyncio, itertools, sys, time
from datetime import UTC, datetime
from pathlib import Path
from gnomon_console.alerts.alertmanager import Alert
from gnomon_console.alerts.database import Database, backend
from gnomon_console.alerts.history import History

async def write():
    history = History(Database(backend("", Path(sys.argv[1]))))
    fires = []
    for number in itertools.count():
        now = time.time()
        labels = {"alertname": "A", "number": str(number), "filling": "x" * 2000}
        fires = [*fires[-20:], Alert("f", labels, {}, datetime.fromtimestamp(now, UTC))]
        await history.note(fires, (), at=now, ended=lambda _: True, until=now)
        print(number, flush=True)

asyncio.run(write())
"""


def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_written(tmp_path):
    """And leaves a history that goes on."""
    path = tmp_path / "alerts.db"
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            said = [writer.stdout.readline() for _ in range(25)]
            writer.kill()
            said += writer.stdout.readlines()
        last = int(said[-1] if said[-1].endswith("\n") else said[-2])
        with sqlite3.connect(path) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            kept = database.execute("SELECT labels FROM alert_episodes").fetchall()
            database.execute("DELETE FROM alert_episodes")
        numbers = {int(json.loads(labels)["number"]) for (labels,) in kept}
        # Written before it was said; the one after the last may be there, too.
        assert set(range(last + 1)) <= numbers <= set(range(last + 3))
