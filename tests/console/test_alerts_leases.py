"""Acknowledgements: what people are told while they hold, when they end, and without a console.

A real Prometheus notices what burns, a real Alertmanager tells of it, and what it has told is all
that counts.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from console.burning import town as started
from console.burning import watching
from gnomon_console.alerts import leases
from gnomon_console.alerts.alertmanager import Alert, Matcher, Silence
from gnomon_console.alerts.leases import Keeper, acknowledge, due, lease
from servers import until


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Houses that burn; what nobody has taken is told to the lead after eight seconds."""
    with started(tmp_path_factory.mktemp("town")) as made:
        yield made


@pytest.fixture
def _short(monkeypatch):
    """Leases of seconds."""
    monkeypatch.setattr(leases, "LEASE", timedelta(seconds=8))
    monkeypatch.setattr(leases, "_RENEWED", timedelta(seconds=6.5))


def alert_of(watch, house):
    """Return the alert of a house, None where it has none."""
    found = [each for each in watch.now.alerts if each.labels.get("house") == house]
    return found[0] if found else None


def of(watch, house):
    """Return the silences of a house's alert, whether they hold or not."""
    return [each for each in watch.now.silences if any(m.value == house for m in each.matchers)]


@pytest.mark.usefixtures("_short")
def test_who_was_told_of_a_fire_is_told_of_its_end_and_nobody_else(town, tmp_path):
    """It was taken until its end: the lead hears nothing, however often it had to be renewed.

    One that was taken for a time only goes to the lead after that.
    """
    town.burns |= {"inn", "barn"}
    until(lambda: town.told("/first", "inn") and town.told("/first", "barn"))

    async def steps(made):
        inn = await made.until(lambda: alert_of(made.watch, "inn"))
        barn = await made.until(lambda: alert_of(made.watch, "barn"))
        await made.watch.acknowledge(inn.labels, "Ada", "on it", None)
        await made.watch.acknowledge(barn.labels, "Bo", "", timedelta(seconds=9))
        [taken] = await made.until(lambda: alert_of(made.watch, "inn").silences)
        first = next(each for each in made.watch.now.silences if each.id == taken)
        [timed] = await made.until(lambda: of(made.watch, "barn"))
        # By itself the silence would be over by then, and the lead told.
        end = datetime.now(UTC) + timedelta(seconds=12)
        await made.until(lambda: datetime.now(UTC) > end)
        assert alert_of(made.watch, "inn").silences == (taken,)
        now = next(each for each in made.watch.now.silences if each.id == taken)
        assert now.starts == first.starts
        assert now.ends > first.ends
        await made.until(lambda: town.told("/lead", "barn"))
        assert datetime.now(UTC) >= lease(timed).until
        assert not any(each.active for each in of(made.watch, "barn"))
        assert town.told("/first", "inn") == ["firing"]
        town.burns -= {"inn", "barn"}
        await made.until(lambda: town.told("/first", "inn")[1:])
        await made.until(lambda: not any(each.active for each in of(made.watch, "inn")))
        await made.until(lambda: alert_of(made.watch, "inn") is None)
        [episode] = [e for e in made.watch.past.episodes if e.labels["house"] == "inn"]
        assert (episode.taker, episode.reason) == ("Ada", "on it")
        assert episode.began <= episode.taken <= episode.ended
        assert episode.ended - episode.taken > 11

    watching(steps, town.alertmanager.url, town.prometheus, tmp_path / "alerts.db")
    town.alertmanager.look_again(5)
    assert town.told("/first", "inn") == ["firing", "resolved"]
    assert town.told("/lead", "inn") == []


def test_an_end_that_was_looked_at_in_silence_is_told_all_the_same(town):
    """Alertmanager has forgotten it by then, and Prometheus says it again a minute later."""
    labels = {"alertname": "Burning", "service": "yard", "house": "yard", "severity": "critical"}
    town.alertmanager.post(labels, summary="The yard burns")
    until(lambda: town.told("/first", "yard"))

    async def steps(made):
        [alert] = [e for e in await made.alertmanager.alerts() if dict(e.labels) == labels]
        await acknowledge(made.alertmanager, labels, "Ada", "", None)
        keeper = Keeper(made.alertmanager)
        assert not await keeper.keep(await made.alertmanager.silences(), [alert], lambda _: False)
        town.alertmanager.post(labels, over=True)
        town.alertmanager.look_again(4)
        assert town.told("/first", "yard") == ["firing"]
        silences = await made.alertmanager.silences()
        assert await keeper.keep(silences, [], lambda found: found == labels) == 1

    watching(steps, town.alertmanager.url, town.prometheus, town._folder / "yard.db")
    until(lambda: town.told("/first", "yard")[1:])
    town.alertmanager.look_again(4)
    assert town.told("/first", "yard") == ["firing", "resolved"]
    [over] = [
        a
        for a in town.hooks.alerts("/first")
        if a["status"] == "resolved" and a["labels"] == labels
    ]
    assert over["annotations"] == {"summary": "The yard burns"}


@pytest.mark.usefixtures("_short")
def test_without_a_console_the_silence_runs_out_and_the_lead_is_told(town, tmp_path):
    """A console that starts again takes it up again, for it was meant to last."""
    town.burns.add("mill")
    until(lambda: town.told("/first", "mill"))

    async def take(made):
        alert = await made.until(lambda: alert_of(made.watch, "mill"))
        await made.watch.acknowledge(alert.labels, "Ada", "on it", timedelta(hours=1))

    async def again(made):
        found = await made.until(lambda: [each for each in of(made.watch, "mill") if each.active])
        assert found[0].author == "Ada"
        assert lease(found[0]).reason == "on it"
        assert lease(found[0]).until > datetime.now(UTC) + timedelta(minutes=50)
        # Another person ends it: it stays ended.
        await made.watch.expire(found[0].id)
        for _ in range(4):
            await made.watch.look()
            assert not any(each.active for each in of(made.watch, "mill"))

    there = (town.alertmanager.url, town.prometheus, tmp_path / "alerts.db")
    watching(take, *there)
    until(lambda: town.told("/lead", "mill"))
    watching(again, *there)
    town.burns.discard("mill")
    until(lambda: town.told("/first", "mill")[-1] == "resolved")
    until(lambda: town.told("/lead", "mill")[-1] == "resolved")
    assert town.told("/first", "mill") == ["firing", "resolved"]
    assert town.told("/lead", "mill") == ["firing", "resolved"]


@pytest.mark.usefixtures("_short")
def test_an_alertmanager_that_has_forgotten_ends_nothing(town, tmp_path):
    """Prometheus says that it burns: the alert stays on show, and taken."""
    town.burns.add("fort")
    until(lambda: town.told("/first", "fort"))

    async def steps(made):
        alert = await made.until(lambda: alert_of(made.watch, "fort"))
        await made.watch.acknowledge(alert.labels, "Ada", "", None)
        await made.until(lambda: alert_of(made.watch, "fort").silences)
        town.alertmanager.stop()
        try:
            await made.until(lambda: "Alertmanager" in made.watch.now.trouble)
            for _ in range(3):
                await made.watch.look()
            there = alert_of(made.watch, "fort")
            assert there.silences
            assert there.labels == alert.labels
            [episode] = [e for e in made.watch.past.episodes if e.labels.get("house") == "fort"]
            assert episode.ended is None
        finally:
            town.alertmanager.start()
        back = await made.until(
            lambda: (found := alert_of(made.watch, "fort")) and found.known and found
        )
        assert back.labels == alert.labels
        await made.until(lambda: alert_of(made.watch, "fort").silences)
        assert "Alertmanager" not in made.watch.now.trouble
        assert len([e for e in made.watch.past.episodes if e.labels.get("house") == "fort"]) == 1

    watching(steps, town.alertmanager.url, town.prometheus, tmp_path / "alerts.db")
    town.burns.discard("fort")


# What is due, without any server.

_NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
_LABELS = {"alertname": "Down", "service": "shop"}
_MATCHERS = tuple(Matcher(name, "=", value) for name, value in sorted(_LABELS.items()))


def silence(comment="Acknowledged until it is over", *, left=200, state="active", **other):
    """Return a lease with so many seconds left."""
    ends = _NOW + timedelta(seconds=left)
    given = {
        "id": "one",
        "matchers": _MATCHERS,
        "author": "Ada",
        "starts": _NOW - timedelta(hours=1),
        "ends": ends,
        "updated": ends - leases.LEASE,
    } | other
    return Silence(comment=comment, state=state, **given)


def firing(minutes=90):
    """Return the alert, which has fired for so long."""
    return Alert("f", _LABELS, {}, _NOW - timedelta(minutes=minutes))


def wanted(*given, alerts=(), over=False):
    """Return the ids of what is renewed, taken up again, and ended."""
    found = due(given, list(alerts), lambda _: over, _NOW)
    return tuple(
        [each.silence.id for each in some] for some in (found.renew, found.take, found.end)
    )


def test_a_lease_is_renewed_when_half_of_it_has_gone():
    """Not each time somebody looks."""
    assert wanted(silence(left=200), alerts=[firing()]) == ([], [], [])
    assert wanted(silence(left=140), alerts=[firing()]) == (["one"], [], [])


def test_a_lease_is_never_renewed_past_its_end():
    """It lasts until the time that somebody has chosen."""
    ending = silence("Acknowledged until 2026-11-02T12:01:00Z: on it", left=60)
    assert wanted(ending, alerts=[firing()]) == ([], [], [])
    longer = silence("Acknowledged until 2026-11-02T12:01:30Z: on it", left=60)
    assert wanted(longer, alerts=[firing()]) == (["one"], [], [])


def test_a_lease_ends_with_its_alert():
    """Whatever is left of it."""
    assert wanted(silence(left=200), over=True) == ([], [], ["one"])


def test_a_lease_that_ran_out_is_taken_up_again():
    """For the same episode, before its chosen end, and where nobody has ended it."""
    ran_out = {"state": "expired", "left": -600}
    assert wanted(silence(**ran_out), alerts=[firing()]) == ([], ["one"], [])
    assert wanted(silence(**ran_out)) == ([], [], [])
    again = firing(minutes=20)
    assert wanted(silence(**ran_out), alerts=[again]) == ([], [], [])
    ended = silence(**ran_out, updated=_NOW - timedelta(seconds=600))
    assert wanted(ended, alerts=[firing()]) == ([], [], [])
    past = silence("Acknowledged until 2026-11-02T11:55:00Z", **ran_out)
    assert wanted(past, alerts=[firing()]) == ([], [], [])


def test_only_the_newest_lease_of_an_alert_counts():
    """One that was ended by hand is not followed by the one before it."""
    old = silence(state="expired", left=-1200, id="old", starts=_NOW - timedelta(minutes=60))
    ended = silence(
        state="expired",
        left=-600,
        id="ended",
        starts=_NOW - timedelta(minutes=30),
        updated=_NOW - timedelta(seconds=600),
    )
    assert wanted(old, ended, alerts=[firing()]) == ([], [], [])
    holds = silence(left=100, id="holds", starts=_NOW - timedelta(minutes=50))
    assert wanted(holds, ended, alerts=[firing()]) == (["holds"], [], [])


@pytest.mark.parametrize(
    "comment",
    [
        "maintenance",
        "Acknowledged: by the old console",
        "Acknowledged until noon",
        "Acknowledged until 2026-13-45T99:00:00Z",
        "",
    ],
)
def test_what_others_silence_is_left_alone(comment):
    """It is no lease, and ends when it ends."""
    assert lease(silence(comment)) is None
    assert wanted(silence(comment, left=10), over=True) == ([], [], [])


def test_a_silence_of_more_than_one_alert_is_no_lease():
    """Whatever its comment says."""
    wide = silence(matchers=(*_MATCHERS, Matcher("instance", "=~", ".+")))
    assert lease(wide) is None


def test_what_somebody_said_comes_back_as_it_was(town):
    """Lines, colons and other alphabets, by way of a real Alertmanager."""
    said = "шаг 1: restart\nstep 2: <b>wait</b> until it is over: 🔥"

    async def steps(made):
        await acknowledge(made.alertmanager, {"alertname": "Said"}, "Zoë", said, None)
        found = [lease(each) for each in await made.alertmanager.silences()]
        ours = next(each for each in found if each and each.labels == {"alertname": "Said"})
        assert (ours.reason, ours.silence.author, ours.until) == (said, "Zoë", None)
        await made.alertmanager.expire(ours.silence.id)

    watching(steps, town.alertmanager.url, town.prometheus, town._folder / "said.db")


def test_many_acknowledged_at_once_are_all_taken(town, tmp_path):
    """Each has a silence of its own."""
    labels = [{"alertname": "Many", "service": "s", "n": str(n)} for n in range(40)]
    town.alertmanager.post(*labels)

    async def steps(made):
        await asyncio.gather(*(made.watch.acknowledge(each, "Ada", "all", None) for each in labels))
        many = [each for each in made.watch.now.alerts if each.name == "Many"]
        assert len({each.silences for each in many}) == 40
        assert all(each.silences for each in many)

    watching(steps, town.alertmanager.url, town.prometheus, tmp_path / "alerts.db")
