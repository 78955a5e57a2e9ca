"""What happens by the clock, and what is forgotten."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import func, select

from gnomon_demo import queueing, schedule
from gnomon_demo.database import Database, Evaluation, Recording, Tick
from gnomon_demo.queueing import Transcriptions
from gnomon_demo.quotes import Exchange
from gnomon_demo.settings import settings
from gnomon_demo.tones import tone


@pytest.fixture
def made(tmp_path):
    """Return a function that runs a coroutine function with a desk of its own."""
    chosen = replace(settings({}), data=tmp_path, database=f"sqlite+aiosqlite:///{tmp_path}/db")

    def run(function):
        async def opened():
            chosen.prepare()
            database = Database(chosen.database)
            await database.prepare(tmp_path / "lock")
            closed = Exchange("http://127.0.0.1:1")
            jobs = Transcriptions(database, chosen.transcripts, chosen.uploads, frozenset(), closed)
            try:
                return await function(
                    SimpleNamespace(settings=chosen, database=database, transcriptions=jobs)
                )
            finally:
                await database.close()

        return asyncio.run(opened())

    return run


def test_the_night_is_at_two_by_local_time():
    """The next one, today or tomorrow, also over the end of a year."""
    for day in ((2026, 5, 4), (2026, 12, 31)):
        for hour, wait in ((1, 1), (2, 24), (3, 23), (23, 3)):
            now = time.mktime((*day, hour, 0, 0, 0, 0, -1))
            assert schedule._until_night(now) == wait * 3600


def test_old_things_are_forgotten_and_new_ones_kept(made, monkeypatch):
    """In the database and on disk."""
    monkeypatch.setattr(schedule, "EVALUATIONS", 3)
    monkeypatch.setattr(schedule, "RECORDINGS", 2)

    async def tidied(desk):
        now = time.time()
        async with desk.database.session() as session:
            session.add_all(
                Evaluation(model_id="trend", metric="recall", score=n / 10, at=now + n)
                for n in range(6)
            )
            session.add_all(
                Tick(symbol="ANVL", price=1.0, at=now - age) for age in (0, schedule.TICKS_S + 60)
            )
            session.add_all(
                Recording(id=f"r{n}", batch="b", name="x", priority="low", state=state, at=now + n)
                for n, state in enumerate(("queued", "done", "failed", "done", "done"))
            )
            await session.commit()
        for n in range(5):
            for ending in ("txt", "performance.json"):
                (desk.settings.transcripts / f"r{n}.{ending}").write_text("{}")
        await schedule.tidy(desk)
        async with desk.database.session() as session:
            scores = select(Evaluation.score).order_by(Evaluation.at)
            return (
                list(await session.scalars(scores)),
                await session.scalar(select(func.count()).select_from(Tick)),
                sorted(await session.scalars(select(Recording.id))),
                sorted({path.name for path in desk.settings.transcripts.glob("*.txt")}),
            )

    scores, ticks, recordings, files = made(tidied)
    assert scores == [0.3, 0.4, 0.5]
    assert ticks == 1
    assert recordings == ["r0", "r3", "r4"]  # what is not done yet is never forgotten
    assert files == ["r0.txt", "r3.txt", "r4.txt"]


def test_what_a_dead_worker_has_left_is_taken_over(made):
    """Only what it has left: another living worker keeps its own."""

    async def recovered(desk):
        dead, alive = 2**22 + 1, 1
        async with desk.database.session() as session:
            session.add_all(
                Recording(
                    id=name, batch="b", name=name, priority="normal", state=state, worker=worker
                )
                for name, state, worker in (
                    ("left", "running", dead),
                    ("kept", "queued", alive),
                    ("over", "done", dead),
                )
            )
            await session.commit()
        for name in ("left", "kept"):
            (desk.settings.uploads / f"{name}.wav").write_bytes(tone(1))
        await desk.transcriptions.recover(lambda pid: pid == alive)
        working = asyncio.create_task(desk.transcriptions.work("1"))
        end = time.monotonic() + 30
        while (await desk.transcriptions.states("b")).get("done", 0) < 2:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        working.cancel()
        return await desk.transcriptions.states("b")

    assert made(recovered) == {"done": 2, "queued": 1}


def test_a_process_is_known_to_run_or_not():
    """This one does; one that has ended, or a number of none, does not."""
    assert queueing.runs(os.getpid())
    assert not queueing.runs(2**22 + 1)
    assert not queueing.runs(0)


def test_one_worker_of_two_does_what_is_due(desk, eventually):
    """Its lock is held; prices are written once every fifteen seconds, not twice."""
    eventually(lambda: desk.metric("gnomon_job_runs_total", job_name="refresh_prices") >= 2, 60)
    runs = desk.metric("gnomon_job_runs_total", job_name="refresh_prices")
    with Path(desk.data / "schedule.lock").open("w") as lock:
        assert not schedule._locked(lock.fileno())
    ticks = desk.get("/api/analytics").json()["symbols"][0]["ticks"]
    assert ticks <= runs + 1
    last = desk.metric("gnomon_job_last_success_timestamp_seconds", job_name="refresh_prices")
    assert time.time() - last < 60


def test_the_first_report_is_written_by_itself(desk, eventually):
    """Half a minute after the first start of all; later ones at night."""
    eventually(
        lambda: desk.metric("gnomon_job_runs_total", job_name="nightly_report", outcome="success"),
        90,
    )
    titles = [report["title"] for report in desk.get("/api/reports").json()]
    assert any(title.startswith("The day until ") for title in titles)
