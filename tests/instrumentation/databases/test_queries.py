"""How long statements took, and which were slow."""

import asyncio
import json
import logging
import os
import sqlite3
import threading
from functools import partial
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.exposition import generate_latest
from sqlalchemy import Column, Integer, MetaData, String, Table, event, exc, insert, select, text

import gnomon
from gnomon import subjects
from gnomon.databases import kept, queries
from gnomon.databases.shapes import shapes
from gnomon.endpoint import Page

SLOW = "gnomon_db_slow_queries_total"
NAME = ("db_query_summary", "db_operation_name", "error_type")

DESK = Table(
    "desk", MetaData(), Column("id", Integer, primary_key=True), Column("symbol", String(20))
)


@pytest.fixture
def lines(caplog):
    """Return a function that gives the log's lines of slow queries."""
    caplog.set_level(logging.WARNING, "gnomon")
    return lambda: [line for line in caplog.messages if line.startswith("slow query")]


def test_statements_count_by_what_they_are(engine, pool, observed):
    """Each execution is one observation under its summary, whatever its literals."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)
    with watched.begin() as connection:
        DESK.metadata.create_all(connection)
        connection.execute(insert(DESK), [{"symbol": f"S{n}"} for n in range(100)])
        for n in range(5):
            connection.execute(select(DESK).where(DESK.c.symbol.in_([f"S{n}"] * (n + 1)))).all()
            connection.exec_driver_sql(f"SELECT count(*) FROM desk WHERE symbol = 'S{n}'")
        with pytest.raises(exc.IntegrityError):
            connection.execute(insert(DESK), {"id": 1, "symbol": "x"})
    counted = observed(*NAME)
    assert counted["CREATE TABLE desk", "CREATE", ""] == 1
    assert counted["INSERT desk", "INSERT", ""] == 1
    assert counted["SELECT desk", "SELECT", ""] == 10
    assert counted["INSERT desk", "INSERT", "sqlite3.IntegrityError"] == 1


def test_each_server_by_its_own_name(engine, pool, observed, postgresql, mariadb):
    """PostgreSQL and MariaDB are told apart, also where MySQL's dialect talks to MariaDB."""
    for url in (postgresql.url("psycopg"), mariadb.url()):
        watched = engine(url)
        gnomon.watch_engine(watched, name=pool)
        with watched.connect() as connection:
            connection.execute(text("SELECT 1"))
    counted = observed("db_system_name", "server_address", "db_query_summary", namespace="gnomon")
    assert counted["postgresql", "127.0.0.1", "SELECT"] >= 1
    assert counted["mariadb", "127.0.0.1", "SELECT"] >= 1
    assert not any(system == "mysql" for system, *_ in counted)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_asynchronous_errors_by_the_drivers_own_names(
    driver, asynchronous, pool, observed, postgresql
):
    """What SQLAlchemy wraps of an asynchronous driver is called as the driver calls it."""

    async def body(watched):
        gnomon.watch_engine(watched, name=pool)
        async with watched.connect() as connection:
            with pytest.raises(exc.ProgrammingError):
                await connection.execute(text(f"SELECT * FROM nowhere_{driver}"))

    asynchronous(postgresql.url(driver), body)
    counted = observed("db_query_summary", "error_type", namespace="gnomon")
    module = "asyncpg.exceptions.UndefinedTableError"
    kind = module if driver == "asyncpg" else "psycopg.errors.UndefinedTable"
    assert counted[f"SELECT nowhere_{driver}", kind] == 1


def test_a_statement_that_is_cancelled_is_counted(asynchronous, pool, observed, postgresql):
    """A task that is cancelled while the database works counts as that, and breaks nothing."""

    async def body(watched):
        gnomon.watch_engine(watched, name=pool)

        async def nap():
            async with watched.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(60) AS cancelled FROM pg_class"))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await nap()
        async with watched.connect() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1

    asynchronous(postgresql.url("asyncpg"), body, pool_size=1, max_overflow=0)
    counted = observed("db_query_summary", "error_type", namespace="gnomon")
    assert counted["SELECT pg_class", "asyncio.exceptions.CancelledError"] == 1


def test_a_slow_statement_is_counted_once_each_time_and_logged_once(sleepy, pool, shown, lines):
    """Of twenty runs with twenty literals there are twenty counts, one shape, one line."""
    watched = sleepy()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0.01)
    with watched.connect() as connection:
        for n in range(20):
            connection.exec_driver_sql(f"SELECT nap(0.02), 'hunter2-{n}' /* hunter2 */")
    assert shown(SLOW, db_query_summary="SELECT") == 20
    (shape,) = shapes.of(pool)
    assert (shape.count, shape.text) == (20, "SELECT nap(?), ?")
    assert shape.total >= 20 * 0.02
    assert 0.02 <= shape.longest <= shape.total
    (line,) = lines()
    assert f"slow query {shape.id} on {pool} took 0." in line
    assert line.endswith(", count 1: SELECT nap(?), ?")
    assert "hunter2" not in json.dumps(shape.as_dict())


def test_a_line_comes_again_after_an_hour_with_the_count(sleepy, pool, lines, monkeypatch):
    """Who stays slow is told of again, with how often that was since."""
    watched = sleepy()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0.01)
    with watched.connect() as connection:
        for _ in range(2):
            connection.exec_driver_sql("SELECT nap(0.02)")
        assert len(lines()) == 1
        monkeypatch.setattr("gnomon.databases.shapes.QUIET", 0)
        connection.exec_driver_sql("SELECT nap(0.02)")
    first, again = lines()
    assert "count 1: " in first
    assert "count 3 (2 since the last line): " in again


def test_from_when_on_a_statement_is_slow(sleepy, pool, shown, lines):
    """A tenth of a second is slow unless told otherwise; what fails may be slow as well."""
    watched = sleepy()
    gnomon.watch_engine(watched, name=pool)
    with watched.connect() as connection:
        connection.exec_driver_sql("SELECT nap(0.11)")
        assert shown(SLOW) == 1
        with pytest.raises(exc.OperationalError):
            connection.exec_driver_sql("SELECT nap(0.11), abs(-9223372036854775807 - 1)")
    assert shown(SLOW) == len(lines()) == 2
    gnomon.unwatch_engine(watched)
    gnomon.watch_engine(watched, name=pool, slow_seconds=60)
    with watched.connect() as connection:
        connection.exec_driver_sql("SELECT nap(0.11)")
    assert shown(SLOW) == 2


def test_a_slow_statement_names_its_trace(sleepy, pool, lines):
    """The line, the shape and the histogram's exemplar lead to the trace."""
    watched = sleepy()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0.01)
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("request") as span, watched.connect() as connection:
        connection.exec_driver_sql("SELECT nap(0.02)")
    trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    assert f", trace {trace_id}: " in lines()[0]
    assert shapes.of(pool)[0].trace_id == trace_id
    page = generate_latest(Page(subjects.collect())).decode()
    exemplars = [line for line in page.splitlines() if trace_id in line]
    assert {line.partition("_bucket")[0] for line in exemplars} >= {
        "db_client_operation_duration_seconds",
        "db_client_connection_wait_time_seconds",
        "db_client_connection_use_time_seconds",
    }


def test_shapes_have_bounds(engine, pool, lines, monkeypatch):
    """Statements that are never the same neither fill the memory nor the log."""
    monkeypatch.setattr("gnomon.databases.shapes.KEPT", 10)
    monkeypatch.setattr("gnomon.databases.shapes.LOGGED", 15)
    monkeypatch.setattr(queries, "REMEMBERED", 20)
    watched = engine()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0)
    with watched.connect() as connection:
        for n in range(50):
            connection.exec_driver_sql(f"SELECT 1 AS column_{n}")
    assert [shape.text for shape in shapes.of(pool)] == [
        f"SELECT ? AS column_{n}" for n in range(40, 50)
    ]
    assert len(lines()) == 15


def test_odd_statements_run_as_without_us(engine, pool, observed):
    """Nothing that is odd about a statement keeps it from the database or its answer."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        many = ", ".join(map(str, range(30_000)))
        assert connection.exec_driver_sql(f"SELECT 1 IN ({many})").scalar() == 1
        assert connection.exec_driver_sql("SELECT 'it''s \\' -- no").scalar() == "it's \\"
        assert connection.exec_driver_sql("/* a; b */ SELECT 1; -- x").scalar() == 1
        assert connection.exec_driver_sql('SELECT "no such column"').scalar() == "no such column"
        assert connection.exec_driver_sql("VALUES (1)").scalar() == 1
        for wrong in ("SELECT 1; SELECT 2", "SELEC 1", "", "'", "\0", "SELECT 'x", "/*"):
            with pytest.raises(
                (exc.DBAPIError, exc.ResourceClosedError, sqlite3.Error, ValueError)
            ):
                connection.exec_driver_sql(wrong).scalar()
    assert observed(*NAME)["SELECT", "SELECT", ""] >= 3


def test_several_workers_and_scripts_keep_their_slow_statements(sleepy, pool, until):
    """What was slow stands in a file of the process, readable by its user alone, and is merged."""
    watched = sleepy()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0.01)
    with watched.connect() as connection:
        connection.exec_driver_sql("SELECT nap(0.02)")
    until(lambda: any(page["queries"] for page in kept.read()), 30)
    (page,) = kept.read()
    (query,) = page["queries"]
    assert (query["shape"], query["count"], query["pool"]) == ("SELECT nap(?)", 1, pool)
    (file,) = Path(kept.folder()).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert Path(kept.folder()).stat().st_mode & 0o777 == 0o700
    assert page["pid"] == os.getpid()

    other = {
        **page,
        "pid": 1,
        "queries": [{**query, "count": 4, "longest_seconds": 9.0, "plan": []}],
    }
    (both,) = kept.merged([page, other])["queries"]
    assert (both["count"], both["longest_seconds"], both["plan"]) == (5, 9.0, [])
    assert kept.of_this_run({"queries": []}) == [{"queries": []}]


def test_a_disk_that_takes_nothing(sleepy, pool, tmp_path, monkeypatch, until, caplog):
    """Where nothing can be written the fault is counted, and the application goes on."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GNOMON_RUN_DIR", str(tmp_path / "file"))
    monkeypatch.setattr("gnomon.guard.QUIET", 0)
    watched = sleepy()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0.01)
    with watched.connect() as connection:
        connection.exec_driver_sql("SELECT nap(0.02)")
        until(lambda: "telemetry failed in file of slow queries" in caplog.text, 30)
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_a_folder_of_another_user_is_not_trusted(tmp_path, monkeypatch):
    """Nobody else's file is read or written into."""
    monkeypatch.setenv("GNOMON_RUN_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "queries").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "1-1.json").write_text('{"queries": []}')
    assert kept.read() == []
    with pytest.raises(PermissionError):
        kept.write({"queries": []}, 0)


def test_files_of_processes_that_are_gone_are_kept_for_a_while(tmp_path, monkeypatch):
    """A script's slow statements can be read after it, but not for ever."""
    monkeypatch.setenv("GNOMON_RUN_DIR", str(tmp_path))
    kept.write({"queries": []}, 1)
    gone = tmp_path / "queries" / "4194999-1.json"
    gone.write_text('{"queries": [], "pid": 4194999}')
    for n, broken in enumerate(("{", "[]", "{}", '{"queries": [{"id": 1}]}', "\\xff")):
        (tmp_path / "queries" / f"broken-{n}.json").write_text(broken)
    kept.write({"queries": []}, 1)
    assert sorted(page["pid"] for page in kept.read()) == sorted([os.getpid(), 4194999])
    os.utime(gone, (0, 0))
    kept.write({"queries": []}, 1)
    assert [page["pid"] for page in kept.read()] == [os.getpid()]


def test_a_locked_database_raises_what_it_raised_before(engine, pool, observed, tmp_path):
    """A lock that is waited for in vain is the application's error, counted by its class."""
    watched = engine(connect_args={"timeout": 0.1})
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE locked (a)")
    holder = sqlite3.connect(tmp_path / f"{pool}.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with watched.connect() as connection:
        with pytest.raises(exc.OperationalError, match="locked"):
            connection.exec_driver_sql("SELECT * FROM locked")
        holder.execute("ROLLBACK")
        assert connection.exec_driver_sql("SELECT * FROM locked").all() == []
    holder.close()
    counted = observed(*NAME)
    assert counted["SELECT locked", "SELECT", "sqlite3.OperationalError"] == 1
    assert counted["SELECT locked", "SELECT", ""] == 1


def test_another_engine_is_not_counted(engine, pool, observed):
    """Only what is watched is measured, also where two engines are of the same database."""
    watched, other = engine(), engine()
    gnomon.watch_engine(watched, name=pool)
    with other.connect() as connection:
        connection.exec_driver_sql("SELECT 7 AS other FROM sqlite_master")
    assert ("SELECT sqlite_master", "SELECT", "") not in observed(*NAME)


def test_streams_and_many_rows_at_once(engine, pool, observed):
    """Rows inserted a thousand at once and server-side cursors are measured by what is sent."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)
    with watched.begin() as connection:
        DESK.metadata.create_all(connection)
        made = connection.execute(
            insert(DESK).returning(DESK.c.id), [{"symbol": f"S{n}"} for n in range(2500)]
        )
        assert len(made.all()) == 2500
        rows = connection.execution_options(yield_per=100).execute(select(DESK))
        assert sum(len(part) for part in rows.partitions()) == 2500
    counted = observed("db_query_summary", "db_operation_name")
    assert counted["INSERT desk", "INSERT"] == 3  # a thousand rows each


def test_what_is_told_of_a_query_is_what_is_read(sleepy, pool):
    """The keys that files must have are those that are written."""
    watched = sleepy()
    gnomon.watch_engine(watched, name=pool, slow_seconds=0)
    with watched.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    (shape,) = shapes.of(pool)
    assert shape.as_dict().keys() == kept.KEYS


def test_what_is_unwatched_is_not_timed(engine, pool, observed):
    """Nothing of ours stays on the dialect, or counts where others have put theirs around it."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)
    assert "do_execute" in vars(watched.dialect)
    gnomon.unwatch_engine(watched)
    assert not [name for name in vars(watched.dialect) if name.startswith("do_")]

    gnomon.watch_engine(watched, name=pool)
    watched.dialect.do_execute = partial(watched.dialect.do_execute)
    watched.pool.connect = partial(watched.pool.connect)
    gnomon.unwatch_engine(watched)
    with watched.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    assert observed(*NAME) == {}


def test_threads_that_are_slow_together(sleepy, pool, shown, together):
    """Counts of shapes are exact when many threads are slow at once."""
    watched = sleepy(pool_size=8)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0.0001)
    gate = threading.Barrier(8)

    def use():
        with watched.connect() as connection:
            gate.wait(30)
            for _ in range(25):
                connection.exec_driver_sql("SELECT nap(0.001)")

    for thread in together(8, use):
        thread.join(60)
    assert shown(SLOW) == 200
    assert [shape.count for shape in shapes.of(pool)] == [200]


def test_listeners_that_change_a_statement(engine, pool, observed):
    """What is measured is what was sent."""
    watched = engine()

    @event.listens_for(watched, "before_cursor_execute", retval=True)
    def rewrite(_connection, _cursor, _statement, values, _context, _many):
        return "SELECT 2 FROM sqlite_master UNION SELECT 3", values

    gnomon.watch_engine(watched, name=pool)
    with watched.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 3
    assert ("SELECT sqlite_master SELECT", "SELECT", "") in observed(*NAME)
