"""What happens by the clock, in one worker of all: prices, housekeeping, the nightly report."""

import asyncio
import fcntl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sqlalchemy import delete, select

import gnomon
from gnomon_demo import reports
from gnomon_demo.database import Evaluation, Moment, Recording, Report, Tick
from gnomon_demo.queueing import runs
from gnomon_demo.state import Desk

#: Seconds between two looks at prices, two rounds of housekeeping, two tries to be the one.
PRICES_S, TIDY_S, LEADER_S = 15.0, 300.0, 5.0

#: When the nightly report is written, in hours of local time.
NIGHT_H = 2

#: What is kept: prices for some days, and the newest of everything else.
TICKS_S, EVALUATIONS, RECORDINGS, REPORTS = 3 * 86400.0, 5000, 300, 100


async def follow(desk: Desk) -> None:
    """Do what is due, for as long as this worker is the one that does it, until cancelled."""
    path = desk.settings.data / "schedule.lock"
    with path.open("w") as lock:
        # The kernel lets go of it when its worker ends, however that ends: then another takes it.
        while not _locked(lock.fileno()):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(LEADER_S)
        if desk.settings.celery is None:  # which itself gives to others what a dead worker had
            await desk.transcriptions.recover(runs)
        async with asyncio.TaskGroup() as group:
            group.create_task(_every(PRICES_S, desk, refresh_prices))
            group.create_task(_every(TIDY_S, desk, tidy))
            group.create_task(_nightly(desk))


@gnomon.job("refresh_prices", retries=2)
async def refresh_prices(desk: Desk) -> None:
    """Write all prices down."""
    await desk.market.refresh()


@gnomon.job("nightly_report")
async def nightly_report(desk: Desk) -> None:
    """Write the report of the day."""
    await reports.write(desk.database, desk.exchange, f"The day until {time.strftime('%F %H:%M')}")


@gnomon.job("tidy")
async def tidy(desk: Desk) -> None:
    """Forget what is old, in the database and on disk."""
    async with desk.database.session() as session:
        await session.execute(delete(Tick).where(Tick.at < time.time() - TICKS_S))
        for table, keep in ((Evaluation, EVALUATIONS), (Report, REPORTS)):
            newest = select(table.at).order_by(table.at.desc()).offset(keep).limit(1)
            if (oldest := await session.scalar(newest)) is not None:
                await session.execute(delete(table).where(table.at <= oldest))
        done = select(Recording).where(Recording.state.in_(("done", "failed")))
        old = list(await session.scalars(done.order_by(Recording.at.desc()).offset(RECORDINGS)))
        for recording in old:
            await session.execute(delete(Moment).where(Moment.recording == recording.id))
            await session.delete(recording)
        await session.commit()
    for recording in old:
        for ending in ("txt", "performance.json"):
            (desk.settings.transcripts / f"{recording.id}.{ending}").unlink(missing_ok=True)


async def _every(seconds: float, desk: Desk, task: Callable[[Desk], Awaitable[None]]) -> None:
    while True:
        # gnomon has counted the failure, with its type; the next run is the remedy.
        with suppress(Exception):
            await task(desk)
        await asyncio.sleep(seconds)


async def _nightly(desk: Desk) -> None:
    """Write the report at night; now, where none was written for a day."""
    day_s = desk.settings.day_s
    newest = await reports.newest(desk.database, 1)
    if not newest or newest[0]["at"] < time.time() - day_s:
        await asyncio.sleep(min(day_s, 2 * PRICES_S))  # until there is something to report
        with suppress(Exception):
            await nightly_report(desk)
    while True:
        await asyncio.sleep(_until_night(time.time()) if day_s == 86400 else day_s)
        with suppress(Exception):
            await nightly_report(desk)


def _until_night(now: float) -> float:
    """Return the seconds until the next nightly report."""
    clock = time.localtime(now)
    today = time.mktime((*clock[:3], NIGHT_H, 0, 0, 0, 0, -1))
    tomorrow = time.mktime((*clock[:2], clock.tm_mday + 1, NIGHT_H, 0, 0, 0, 0, -1))
    return (today if today > now else tomorrow) - now


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
