"""Recordings on their way: a queue with priorities, workers, and another try where it helps."""

import asyncio
import itertools
import logging
import os
import random
from collections.abc import Awaitable, Callable, Container
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select, update

import gnomon
from gnomon_demo import speech
from gnomon_demo.audio import NotAudio
from gnomon_demo.database import Database, Moment, Recording
from gnomon_demo.quotes import Exchange, ExchangeDown

log = logging.getLogger(__name__)

#: Words for priorities, the most urgent first.
PRIORITIES = ("high", "normal", "low")

#: How many recordings one process works on at once; more than it has cores would only share them.
WORKERS = 2

#: How often a recording is tried, and how many seconds lie before the second try.
TRIES, PAUSE_S = 3, 0.5

#: How long a recording takes, besides its work, while the fault `backlog` is under way.
BACKLOG_S = 2.0


@dataclass(frozen=True, order=True, slots=True)
class _Job:
    """A recording in the queue: by priority, then by age."""

    rank: int
    number: int
    recording: str = field(compare=False)
    tries: int = field(compare=False, default=0)

    @property
    def priority(self) -> str:
        """The word for its rank: gnomon's series have one for each."""
        return PRIORITIES[self.rank]


class Transcriptions:
    """Transcribes recordings, at once or by queue.

    folder: where ``{id}.txt`` and ``{id}.performance.json`` go. uploads: where recordings wait.
    faults: what goes wrong on purpose. exchange: asked what the market was meanwhile. elsewhere:
    queues a recording, with its priority's rank, where others take it; None for the queue of this
    process.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        uploads: Path,
        faults: Container[str],
        exchange: Exchange,
        *,
        elsewhere: Callable[[str, int], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._folder = folder
        self._uploads = uploads
        self._faults = faults
        self._exchange = exchange
        self._elsewhere = elsewhere
        self._numbers = itertools.count()
        self._later: set[asyncio.Task[None]] = set()
        # Around a function, and not in a block, measure knows the work's own CPU time everywhere.
        self._measured = gnomon.measure(
            "transcribe", log_dir=folder, file_id=lambda number, _data: number
        )(_work)
        self._queue = gnomon.watch_queue(
            asyncio.PriorityQueue[_Job](), "transcriptions", priority=lambda job: job.priority
        )

    async def now(self, name: str, data: bytes) -> dict[str, Any]:
        """Transcribe a WAV file while its sender waits. Raises NotAudio."""
        number = uuid4().hex
        found = await self._transcribe(number, data)
        row = Recording(id=number, batch="", name=name, priority="high", state="done")
        row.seconds, row.segments = found["seconds"], len(found["segments"])
        async with self._database.session() as session:
            session.add(row)
            await session.commit()
        return {"id": number, "name": name, **found}

    async def submit(self, files: list[tuple[str, bytes]], priority: str) -> str:
        """Queue WAV files as one batch; return its id."""
        batch = uuid4().hex
        rows = [
            Recording(id=uuid4().hex, batch=batch, name=name, priority=priority, worker=os.getpid())
            for name, _ in files
        ]
        for row, (_, data) in zip(rows, files, strict=True):
            await asyncio.to_thread(self._upload(row.id).write_bytes, data)
        async with self._database.session() as session:
            session.add_all(rows)
            await session.commit()
        for row in rows:
            await self._enqueue(row)
        return batch

    async def states(self, batch: str) -> dict[str, int]:
        """Return how many recordings of a batch are in each state."""
        wanted = select(Recording.state, func.count()).where(Recording.batch == batch)
        async with self._database.session() as session:
            found = await session.execute(wanted.group_by(Recording.state))
            return dict(found.all())

    async def recover(self, runs: Callable[[int], bool]) -> None:
        """Queue what a worker has left behind that is no more. runs: whether a process does."""
        unfinished = select(Recording).where(Recording.state.in_(("queued", "running")))
        async with self._database.session() as session:
            left = [row for row in await session.scalars(unfinished) if not runs(row.worker)]
            for row in left:
                row.worker, row.state = os.getpid(), "queued"
            await session.commit()
        for row in left:
            await self._enqueue(row)

    async def work(self, worker: str) -> None:
        """Take recordings from the queue, one after another, until cancelled."""
        while True:
            async with gnomon.take(self._queue, worker=worker) as taken:
                job = taken.item
                try:
                    await self.one(job.recording, job.tries)
                except NotAudio as error:  # another try would hear no more
                    taken.gave_up()
                    await self.give_up(job.recording, str(error))
                except Exception as error:  # noqa: BLE001  # whatever it is, the worker goes on
                    if job.tries + 1 < TRIES:
                        taken.retried()
                        self._again(job)
                    else:
                        taken.gave_up()
                        await self.give_up(job.recording, repr(error))

    async def one(self, recording: str, tries: int) -> None:
        """Transcribe a recording that was queued. tries: how many there were before this one."""
        if "backlog" in self._faults:
            await asyncio.sleep(BACKLOG_S)
        await self._change(recording, state="running", tries=tries + 1)
        if "errors" in self._faults and random.random() < 0.5:
            raise RuntimeError("the fault `errors` is under way")
        data = await asyncio.to_thread(self._upload(recording).read_bytes)
        found = await self._transcribe(recording, data)
        segments = len(found["segments"])
        await self._note_market(recording)
        await self._change(recording, state="done", seconds=found["seconds"], segments=segments)
        self._upload(recording).unlink(missing_ok=True)
        log.info("transcribed %s: segments=%d", recording, segments)

    async def give_up(self, recording: str, why: str) -> None:
        """Write down that a recording has failed for good, if the database lets us."""
        log.warning("gave up %s: %s", recording, why)
        self._upload(recording).unlink(missing_ok=True)
        with suppress(Exception):
            await self._change(recording, state="failed", error=why[:300])

    async def _transcribe(self, number: str, data: bytes) -> dict[str, Any]:
        """Transcribe a recording, and say what that took; both are left in the folder as well."""
        transcript, usage = await self._measured(number, data)
        await asyncio.to_thread((self._folder / f"{number}.txt").write_text, transcript.text)
        return {**transcript.as_dict(), "performance": usage.as_dict()}

    async def _note_market(self, recording: str) -> None:
        """Write down what the market was, for who reads the transcript; without it if need be."""
        try:
            prices = await self._exchange.quotes()
        except ExchangeDown as error:
            log.warning("transcribed %s without prices: %s", recording, error)
            return
        async with self._database.session() as session:
            await session.merge(Moment(recording=recording, prices=prices))
            await session.commit()

    async def _enqueue(self, row: Recording) -> None:
        rank = PRIORITIES.index(row.priority)
        if self._elsewhere is not None:
            await self._elsewhere(row.id, rank)
            return
        self._queue.put_nowait(_Job(rank, next(self._numbers), row.id))

    def _again(self, job: _Job) -> None:
        """Put a recording back after a pause that grows."""

        async def put() -> None:
            await asyncio.sleep(PAUSE_S * 2**job.tries)
            self._queue.put_nowait(replace(job, tries=job.tries + 1))

        task = asyncio.create_task(put())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _change(self, number: str, **values: Any) -> None:
        async with self._database.session() as session:
            await session.execute(update(Recording).where(Recording.id == number).values(**values))
            await session.commit()

    def _upload(self, number: str) -> Path:
        return self._uploads / f"{number}.wav"


async def _work(_number: str, data: bytes) -> tuple[speech.Transcript, gnomon.Usage]:
    """Transcribe in a thread, for it takes nothing but CPU time; return what that used as well."""
    usage = gnomon.current_usage()
    assert usage is not None  # noqa: S101  # this function is measured
    return await gnomon.to_thread(speech.transcribe, data), usage


def runs(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
