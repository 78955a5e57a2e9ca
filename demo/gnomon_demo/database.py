"""What the desk remembers: tables, and the engine that reaches them."""

import fcntl
import time
from pathlib import Path

from sqlalchemy import JSON, Float, ForeignKey, Index, String, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import gnomon

#: Connections of one worker: those that stay, those that come and go, and how long one waits.
POOL_SIZE, OVERFLOW, PATIENCE_S = 5, 5, 2.0


class Base(DeclarativeBase):
    """The tables."""


class Model(Base):
    """A model that the desk can use."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(80))
    version: Mapped[str] = mapped_column(String(20))


class Evaluation(Base):
    """How well a model did, once. Higher is better."""

    __tablename__ = "evaluations"
    __table_args__ = (Index("evaluations_by_model", "model_id", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    metric: Mapped[str] = mapped_column(String(20))
    score: Mapped[float] = mapped_column(Float)
    at: Mapped[float] = mapped_column(Float, default=time.time)


class Tick(Base):
    """A symbol's price at a time, Unix seconds."""

    __tablename__ = "ticks"
    __table_args__ = (Index("ticks_by_symbol", "symbol", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(String(12))
    price: Mapped[float] = mapped_column(Float)
    at: Mapped[float] = mapped_column(Float, default=time.time)


class Report(Base):
    """What a report says, and when it was written."""

    __tablename__ = "reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(120))
    body: Mapped[dict[str, object]] = mapped_column(JSON)
    at: Mapped[float] = mapped_column(Float, default=time.time, index=True)


class Recording(Base):
    """A recording of a batch on its way: queued, running, done, or failed for good.

    worker: the process that has it in its queue.
    """

    __tablename__ = "recordings"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    batch: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(120))
    priority: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10), default="queued")
    tries: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float | None] = mapped_column(default=None)
    segments: Mapped[int | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(String(300), default=None)
    worker: Mapped[int] = mapped_column(default=0)
    at: Mapped[float] = mapped_column(Float, default=time.time, index=True)


class Moment(Base):
    """What the exchange said of every symbol when a recording was transcribed."""

    __tablename__ = "moments"

    recording: Mapped[str] = mapped_column(String(32), primary_key=True)
    prices: Mapped[dict[str, float]] = mapped_column(JSON)
    at: Mapped[float] = mapped_column(Float, default=time.time)


_MODELS = (
    Model(id="whisper-small", kind="speech", name="Whisper small", version="3.1"),
    Model(id="whisper-large", kind="speech", name="Whisper large", version="3.0"),
    Model(id="diarizer", kind="speech", name="Who speaks when", version="1.4"),
    Model(id="trend", kind="market", name="Trend of two hours", version="2.2"),
    Model(id="volatility", kind="market", name="Volatility, one day ahead", version="2.0"),
    Model(id="headlines", kind="text", name="Mood of headlines", version="0.9"),
)


class Database:
    """The engine, and sessions on it."""

    def __init__(self, url: str) -> None:
        self.engine: AsyncEngine = create_async_engine(
            url, pool_size=POOL_SIZE, max_overflow=OVERFLOW, pool_timeout=PATIENCE_S
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        if make_url(url).get_backend_name() == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _as_several_need_it)
        gnomon.watch_engine(self.engine, name="desk", slow_seconds=0.1, explain=True)

    def session(self) -> AsyncSession:
        """Return a session for ``async with``; what is not committed there is undone."""
        return self._sessions()

    async def prepare(self, lock: Path) -> None:
        """Make the tables and what stands in them from the beginning, once for all workers."""
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            async with self.engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            async with self.session() as session:
                if not await session.scalar(select(func.count()).select_from(Model)):
                    session.add_all(
                        Model(id=m.id, kind=m.kind, name=m.name, version=m.version) for m in _MODELS
                    )
                    await session.commit()

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _as_several_need_it(connection: object, _record: object) -> None:
    """Let readers and a writer work side by side, and writers wait for each other."""
    cursor = connection.cursor()  # type: ignore[attr-defined]  # DB-API's, whichever driver's
    for pragma in ("journal_mode=WAL", "busy_timeout=5000", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
