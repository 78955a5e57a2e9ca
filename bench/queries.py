"""What watching an engine costs: a query watched by gnomon, bare, and with OpenTelemetry's spans.

A query by key on SQLite in memory, which is as little as a database can do: in a connection that is
held, and in one that is taken from the pool for it; and a query whose text is never the same, which
nobody should write and many do. All figures are CPU time, not wall-clock time.

Run by ``make bench``. The exit status is 1 if a figure is over its budget.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, QueuePool, create_engine, text

import gnomon

if TYPE_CHECKING:
    from collections.abc import Callable

#: How much more a query may cost, as a part of what OpenTelemetry's spans cost when sampled.
HELD = 0.25
POOLED = 0.4

SAMPLED = "OpenTelemetry, sampled"

ROUNDS, TIMES = 12, 2000

_numbers = itertools.count()


def engine() -> Engine:
    """Return an engine of one connection to a database of a thousand rows in memory."""
    made = create_engine(
        "sqlite://",
        poolclass=QueuePool,
        pool_size=1,
        connect_args={"check_same_thread": False},
    )
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute(
            text("INSERT INTO rows VALUES (:id, :name)"),
            [{"id": n, "name": f"row {n}"} for n in range(1000)],
        )
    return made


BY_KEY = text("SELECT id, name FROM rows WHERE id = :id")


def held(given: Engine) -> Callable[[], None]:
    """Return what asks by key in one connection."""
    connection = given.connect()

    def ask() -> None:
        connection.execute(BY_KEY, {"id": 7}).all()

    return ask


def pooled(given: Engine) -> Callable[[], None]:
    """Return what takes a connection from the pool, asks by key and gives it back."""

    def ask() -> None:
        with given.connect() as connection:
            connection.execute(BY_KEY, {"id": 7}).all()

    return ask


def never_the_same(given: Engine) -> Callable[[], None]:
    """Return what asks by a literal that it has never asked for."""
    connection = given.connect()
    return lambda: connection.exec_driver_sql(
        f"SELECT id, name FROM rows WHERE id = {next(_numbers)} AND name = 'x'"
    ).close()


def cost(ask: Callable[[], None]) -> float:
    """Return the CPU microseconds of one call."""
    before = time.thread_time()
    for _ in range(TIMES):
        ask()
    return (time.thread_time() - before) / TIMES * 1e6


def traced(sampler: Sampler) -> Engine:
    """Return an engine with OpenTelemetry's spans."""
    made = engine()
    # Its ``instrument`` takes one engine in a process, and none of SQLAlchemy 2.1.
    SQLAlchemyInstrumentor()._instrument(  # noqa: SLF001
        engine=made, tracer_provider=TracerProvider(sampler=sampler)
    )
    return made


def engines() -> dict[str, Engine]:
    """Return an engine of each kind."""
    watched = engine()
    gnomon.watch_engine(watched, name="bench")
    return {
        "bare": engine(),
        "gnomon": watched,
        SAMPLED: traced(ALWAYS_ON),
        "OpenTelemetry, not sampled": traced(ALWAYS_OFF),
    }


def main() -> int:
    """Print the figures; return 1 if one is over its budget."""
    table: Table | None = None
    over = False
    for name, kind, budget in (
        ("in a held connection", held, HELD),
        ("with its own checkout", pooled, POOLED),
        ("of a new text", never_the_same, None),
    ):
        asks = {each: kind(given) for each, given in engines().items()}
        rounds = [{each: cost(ask) for each, ask in asks.items()} for _ in range(ROUNDS)]
        least = {each: min(one[each] for one in rounds) for each in asks}
        more = {each: least[each] - least["bare"] for each in asks if each != "bare"}
        most = more[SAMPLED] * budget if budget is not None else None
        over = over or (most is not None and more["gnomon"] > most)
        if table is None:
            table = Table("CPU µs of a query", "bare", *(f"+ {each}" for each in more), "budget")
        table.add_row(
            name,
            f"{least['bare']:.1f}",
            *(f"{value:.1f}" for value in more.values()),
            f"{most:.1f}" if most is not None else "",
        )
    Console(width=100).print(table)
    return int(over)


if __name__ == "__main__":
    raise SystemExit(main())
