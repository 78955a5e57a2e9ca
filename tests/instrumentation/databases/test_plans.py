"""Plans, missing and unused indexes, by what real databases say."""

import json
import sqlite3
import threading
import time

import psycopg
import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from sqlalchemy import StaticPool, event, exc, text

import caches
import gnomon
from databases import mariadb_server
from gnomon.databases import asking, indexes, shapes
from gnomon.databases.plans import Refused, check

MISSING = "gnomon_db_missing_index"
UNUSED = "gnomon_db_unused_indexes"
SLOW_FIND = "SELECT o.id FROM orders o WHERE o.customer = :who AND o.amount > :much"


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Let the thread ask at once."""
    monkeypatch.setattr(asking, "PAUSE", 0.01)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request, tmp_path):
    """The address of each kind of database, with a table of orders that is not small."""
    kind = request.param
    if kind == "sqlite":
        with sqlite3.connect(tmp_path / "orders.db") as raw:
            raw.executescript(f"{TABLE.format('INTEGER PRIMARY KEY')}; {FILL_SQLITE}")
        yield f"sqlite:///{tmp_path}/orders.db"
        return
    server = request.getfixturevalue(kind)
    if kind == "postgresql":
        server.say(
            TABLE.format("serial PRIMARY KEY"),
            "INSERT INTO orders (customer, amount)"
            " SELECT 'c' || n, n FROM generate_series(1, 5000) n",
            "ANALYZE orders",
        )
        yield server.url("psycopg")
    else:
        server.say(
            TABLE.format("int AUTO_INCREMENT PRIMARY KEY"),
            "INSERT INTO orders (customer, amount) SELECT concat('c', seq), seq FROM seq_1_to_5000",
            "ANALYZE TABLE orders",
        )
        yield server.url()
    server.say("DROP TABLE orders")


TABLE = "CREATE TABLE orders (id {}, customer varchar(40), amount int)"
FILL_SQLITE = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
    " INSERT INTO orders (customer, amount) SELECT 'c' || i, i FROM n"
)


def find(connection):
    """Run the query that no index helps."""
    return connection.execute(text(SLOW_FIND), {"who": "c4711", "much": -98765432109}).all()


def test_a_slow_querys_plan_and_the_index_that_it_lacks(engine, url, pool, shown, shape):
    """The plan and the columns without an index are told, no value of the query with them."""
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        assert len(find(connection)) == 1
    told = shape(pool, lambda each: each.plan is not None)
    assert any("o" in line.split() for line in told.plan)
    assert told.hints == [("orders", "customer"), ("orders", "amount")]
    assert shown(MISSING, table="orders", column="customer") == 1
    assert shown(MISSING, table="orders") == 2
    page = json.dumps(shapes.page())
    assert "c4711" not in page
    assert "98765432109" not in page
    assert told.text == "SELECT o.id FROM orders o WHERE o.customer = ? AND o.amount > ?"


def test_a_hint_goes_when_the_index_is_there(engine, url, pool, shown, shape, until, monkeypatch):
    """Hints are looked at again, and end with what they ask for."""
    monkeypatch.setattr(asking, "LOOK", 0.2)
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        find(connection)
    shape(pool, lambda each: each.hints)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("CREATE INDEX by_customer ON orders (customer, amount)")
    until(lambda: shown(MISSING, table="orders", column="customer") is None, 30)
    assert shown(MISSING, table="orders", column="amount") == 1


def test_columns_with_an_index_are_no_hint(engine, url, pool, shape, shown):
    """A query that an index serves has a plan and no hint."""
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        connection.execute(text("SELECT * FROM orders WHERE id = :id"), {"id": 7}).all()
    assert shape(pool, lambda each: each.plan).hints == []
    assert shown(MISSING) is None


def test_writes_are_explained_and_not_repeated(engine, url, pool, until):
    """What changes rows is run once, by the application, whatever the plan is asked for."""
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    statements = [
        "INSERT INTO orders (customer, amount) VALUES ('new', 11)",
        "INSERT INTO orders (customer, amount) SELECT 'copy', -1 FROM orders WHERE amount < 11",
        "UPDATE orders SET amount = amount + 10000 WHERE customer = 'new'",
        "DELETE FROM orders WHERE amount = 5000",
    ]
    with watched.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    until(lambda: all(each.plan is not None or each.why for each in shapes.shapes.of(pool)), 30)
    assert len(shapes.shapes.of(pool)) == len(statements)
    gnomon.unwatch_engine(watched)
    with watched.connect() as connection:
        counted = connection.execute(
            text(
                "SELECT (SELECT count(*) FROM orders WHERE customer = 'new'),"
                " (SELECT count(*) FROM orders WHERE amount = 10011),"
                " (SELECT count(*) FROM orders WHERE amount = -1), (SELECT count(*) FROM orders)"
            )
        ).one()
    assert tuple(counted) == (1, 1, 10, 5010)
    updated = next(each for each in shapes.shapes.of(pool) if each.text.startswith("UPDATE"))
    assert updated.plan is None or updated.hints == [("orders", "customer")]


@pytest.mark.parametrize("driver", ["aiosqlite", "asyncpg", "psycopg", "aiomysql"])
def test_plans_through_asynchronous_engines(
    driver, asynchronous, pool, shape, shown, tmp_path, request
):
    """An asynchronous engine's queries are explained in a loop of our own."""
    if driver == "aiosqlite":
        address = f"sqlite+aiosqlite:///{tmp_path}/orders.db"
    elif driver == "aiomysql":
        address = request.getfixturevalue("mariadb").url(driver)
    else:
        address = request.getfixturevalue("postgresql").url(driver)

    async def body(watched):
        async with watched.begin() as connection:
            await connection.execute(text("CREATE TABLE tickets (id int PRIMARY KEY, who int)"))
            await connection.execute(
                text("INSERT INTO tickets VALUES (:id, :who)"),
                [{"id": n, "who": n} for n in range(1500)],
            )
        if driver in ("asyncpg", "psycopg"):
            async with watched.begin() as connection:
                await connection.execute(text("ANALYZE tickets"))
        gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
        async with watched.connect() as connection:
            await connection.execute(text("SELECT * FROM tickets WHERE who = :who"), {"who": 11})
        # The application's loop may be busy meanwhile: the plan does not need it.
        found = shape(pool, lambda each: each.plan is not None)
        gnomon.unwatch_engine(watched)
        async with watched.begin() as connection:
            await connection.execute(text("DROP TABLE tickets"))
        return found

    assert asynchronous(address, body).hints == [("tickets", "who")]
    assert shown("db_client_connection_wait_time_seconds_count") == 1


def test_what_we_ask_is_not_the_applications(engine, url, pool, shape, shown):
    """Our questions count neither as queries nor as connections, and take none of the pool's."""
    watched = engine(url, pool_size=1, max_overflow=0, pool_timeout=1)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        find(connection)
        shape(pool, lambda each: each.plan is not None)  # while the only connection is taken
        shown(MISSING)  # a scrape asks for the statistics
        time.sleep(0.3)
    assert [each.count for each in shapes.shapes.of(pool)] == [1]
    for what in ("wait", "use", "create"):
        assert shown(f"db_client_connection_{what}_time_seconds_count") == 1


def test_what_we_ask_has_no_spans(engine, url, pool, shape, monkeypatch):
    """Instrumentations of drivers and of SQLAlchemy keep quiet where we ask."""
    enabled = []
    real = indexes.missing

    def seen(*args):
        enabled.append(is_instrumentation_enabled())
        return real(*args)

    monkeypatch.setattr(indexes, "missing", seen)
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        find(connection)
    shape(pool, lambda each: each.plan is not None)
    assert enabled == [False]
    assert is_instrumentation_enabled()


def test_the_applications_own_listeners_open_our_connections(engine, tmp_path, pool, shape):
    """What an application does with each new connection is done with ours, or no plan would fit."""
    watched = engine(f"sqlite:///{tmp_path}/own.db")
    event.listen(watched, "connect", lambda raw, _: raw.create_function("own", 1, lambda n: n))
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        connection.exec_driver_sql("SELECT own(type) FROM sqlite_master WHERE own(name) = 'x'")
    assert shape(pool, lambda each: each.plan is not None).hints == []


def test_a_second_statement_in_the_text_is_never_run(engine, pool, shape, postgresql):
    """A text with more than one statement is not explained, for the second would run."""
    watched = engine(postgresql.url("psycopg"))
    with watched.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE twice (n int)")
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("SELECT 1; INSERT INTO twice VALUES (1)")
        connection.exec_driver_sql(
            "SELECT 1 /* ; INSERT INTO twice VALUES (2) */",
            execution_options={"no_parameters": True},
        )
    assert shape(pool, lambda each: each.why).why == "the text holds a semicolon"
    assert postgresql.say("SELECT count(*) FROM twice") == "1\n"
    postgresql.say("DROP TABLE twice")


@pytest.mark.parametrize(
    ("statement", "operation", "system"),
    [
        ("SELECT 1; DROP TABLE t", "SELECT", "sqlite"),
        ("SELECT ';'", "SELECT", "postgresql"),
        ("CREATE TABLE t (a int)", "CREATE", "sqlite"),
        ("VACUUM", "VACUUM", "postgresql"),
        ("ANALYZE SELECT 1", "ANALYZE", "mariadb"),
        ("EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN", "postgresql"),
        ("SELECT 1", "SELECT", "oracle.db"),
    ],
)
def test_what_is_never_explained(statement, operation, system):
    """Only single statements that query or change rows are, and only where plans are known."""
    with pytest.raises(Refused):
        check(statement, operation, system)
    check("SELECT 1 ;\n", "SELECT", "postgresql")


def test_each_shape_is_explained_once_an_hour(engine, url, pool, shape, monkeypatch):
    """However often a shape is slow, its plan is asked for once, and not sooner again."""
    asked = []
    real = asking.asked

    def counted(*args):
        asked.append(args)
        return real(*args)

    monkeypatch.setattr(asking, "asked", counted)
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        for _ in range(5):
            find(connection)
        shape(pool, lambda each: each.plan is not None)
        find(connection)
        assert len(asked) == 1
        monkeypatch.setattr(asking, "AGAIN", 0)
        find(connection)
        shape(pool, lambda _: len(asked) == 2)


def test_without_explain_the_database_is_asked_nothing(engine, url, pool, shown, monkeypatch):
    """Unless it was asked for, no thread of ours opens a connection."""
    opened = []
    monkeypatch.setattr(asking, "asked", lambda *args: opened.append(args))
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0)
    with watched.connect() as connection:
        find(connection)
    assert shown("gnomon_db_slow_queries_total") == 1
    time.sleep(0.2)
    assert opened == []
    assert shown(UNUSED) is None


def test_a_database_that_refuses_or_is_locked(engine, pool, shape, tmp_path, caplog, monkeypatch):
    """Without an answer there is no plan and no error of ours, and why is told by a class only."""
    monkeypatch.setattr("gnomon.databases.plans.PATIENCE", 0.2)
    watched = engine(f"sqlite:///{tmp_path}/orders.db")
    with watched.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders (customer)")
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.begin() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        connection.exec_driver_sql("INSERT INTO orders VALUES ('hunter2')")
        told = shape(pool, lambda each: each.summary == "INSERT orders" and each.why)
    assert (told.plan, told.why) == (None, "the database said OperationalError")
    assert "telemetry failed" not in caplog.text


def test_a_database_in_memory_is_not_asked(engine, pool, shape):
    """Another connection would see another database: there is no plan, and that is said."""
    watched = engine("sqlite://", poolclass=StaticPool)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert shape(pool, lambda each: each.why).why == "the pool has one connection for all"


def test_a_plan_has_a_deadline(engine, pool, shape, postgresql):
    """A table that is locked keeps the plan away, and us for no longer than two seconds."""
    postgresql.say("CREATE TABLE held (n int)")
    watched = engine(postgresql.url("psycopg"))
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    try:
        with watched.connect() as holder:
            with watched.connect() as connection:
                connection.exec_driver_sql("SELECT * FROM held")
                connection.rollback()
                holder.exec_driver_sql("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
                gnomon.unwatch_engine(watched)
                shapes.shapes.clear()
            gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
            began = time.monotonic()
            with watched.connect() as connection:
                connection.exec_driver_sql("SET lock_timeout = 1")
                with pytest.raises(exc.OperationalError):
                    connection.exec_driver_sql("SELECT n FROM held")
            told = shape(pool, lambda each: each.text == "SELECT n FROM held" and each.why)
            assert told.why in {
                "the database said LockNotAvailable",
                "the database said QueryCanceled",
            }
            assert time.monotonic() - began < 20
    finally:
        postgresql.say("DROP TABLE held")


def test_a_database_that_takes_us_and_says_nothing(
    engine, pool, shape, postgresql, monkeypatch, until
):
    """Where no deadline of the database's helps, ours does, and one thread hangs at most."""
    monkeypatch.setattr(asking, "DEADLINE", 0.5)
    monkeypatch.setattr(asking, "RETRY", 0)
    with caches.silent_server() as silent:
        ports = [postgresql.port]

        def connect():
            return psycopg.connect(
                host="127.0.0.1", port=ports[0], user="gnomon", dbname="gnomon", password="x"
            )

        watched = engine(postgresql.url("psycopg"), creator=connect)
        gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
        with watched.connect() as connection:
            ports[0] = silent
            connection.exec_driver_sql("SELECT 1")
            told = shape(pool, lambda each: each.why)
            assert told.why == "the database did not answer in time"
            for _ in range(5):
                connection.exec_driver_sql("SELECT 1")
            until(lambda: not asking.asker._wanted, 30)
        hanging = [each for each in threading.enumerate() if each.name == "gnomon database"]
        assert len(hanging) == 1
    # The silent server has closed its door: what hung ends, and the next may ask again.
    for each in hanging:
        each.join(30)


def test_plans_that_wait_are_bounded(engine, url, pool, until, monkeypatch):
    """While a database does not answer, no more than a few statements and values are kept."""
    gate, began = threading.Event(), threading.Event()
    monkeypatch.setattr(asking, "WAITING", 3)

    def stuck(*_):
        began.set()
        gate.wait(30)
        raise OSError

    monkeypatch.setattr(asking, "asked", stuck)
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        find(connection)
        assert began.wait(30)
        for n in range(10):
            connection.exec_driver_sql(f"SELECT 1 AS column_{n}")
        assert len(asking.asker._wanted) == 3
        gate.set()
        until(lambda: not asking.asker._wanted, 30)


def test_unused_indexes_of_postgresql(engine, pool, shown, postgresql, until, monkeypatch):
    """An index that no query has used is counted; one that was used, or enforces a rule, is not."""
    monkeypatch.setattr(asking, "LOOK", 0.2)
    postgresql.say(
        "CREATE TABLE parts (id int PRIMARY KEY, a int, b int, c int UNIQUE)",
        "INSERT INTO parts SELECT n, n, n, n FROM generate_series(1, 5000) n",
        "CREATE INDEX parts_a ON parts (a)",
        "CREATE INDEX parts_b ON parts (b)",
        "ANALYZE parts",
    )
    try:
        watched = engine(postgresql.url("psycopg"))
        gnomon.watch_engine(watched, name=pool, explain=True)

        def unused():
            shown(UNUSED)  # a scrape
            return [index for table, index in shapes.unused.get(pool, ()) if table == "parts"]

        until(lambda: unused() == ["parts_a", "parts_b"], 30)
        postgresql.say("SELECT * FROM parts WHERE a = 7")
        until(lambda: unused() == ["parts_b"], 30)
        until(lambda: shown(UNUSED) == len(shapes.unused[pool]), 30)
    finally:
        postgresql.say("DROP TABLE parts")


@pytest.mark.parametrize("counting", ["--performance-schema=ON", "--userstat=1", "--userstat=0"])
def test_unused_indexes_of_mariadb(counting, engine, pool, shown, until, monkeypatch):
    """They are told where the server counts the use of indexes, and absent where it does not."""
    monkeypatch.setattr(asking, "LOOK", 0.2)
    statements = (
        "CREATE TABLE parts (id int PRIMARY KEY, a int, b int, c int UNIQUE)",
        "INSERT INTO parts SELECT seq, seq, seq, seq FROM seq_1_to_5000",
        "CREATE INDEX parts_a ON parts (a)",
        "CREATE INDEX parts_b ON parts (b)",
    )
    with mariadb_server(counting) as server:
        server.say(*statements)
        watched = engine(server.url())
        gnomon.watch_engine(watched, name=pool, explain=True)
        if counting == "--userstat=0":
            looked = []
            real = indexes.unused
            monkeypatch.setattr(
                indexes, "unused", lambda *args: looked.append(real(*args)) or looked[-1]
            )
            assert shown(UNUSED) is None
            until(lambda: looked, 30)
            assert looked[0] is None
            assert shown(UNUSED) is None
            return
        until(lambda: shown(UNUSED) == 2, 30)
        server.say("SELECT b FROM parts FORCE INDEX (parts_a) WHERE a = 7")
        until(lambda: shown(UNUSED) == 1, 30)
        assert shapes.unused[pool] == [("parts", "parts_b")]


def test_sqlite_tells_of_no_unused_indexes(engine, pool, shown, tmp_path, until):
    """SQLite counts nothing, and so nothing is claimed."""
    watched = engine(f"sqlite:///{tmp_path}/x.db")
    gnomon.watch_engine(watched, name=pool, explain=True)
    assert shown(UNUSED) is None
    until(lambda: any(asking.asker._looked.values()), 30)
    time.sleep(0.2)
    assert shown(UNUSED) is None


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT * FROM a WHERE x = 1 AND y IN (1, 2)", {("a", "x"), ("a", "y")}),
        ("SELECT * FROM a JOIN b ON a.i = b.i WHERE b.z BETWEEN 1 AND 2", {("b", "z")}),
        ("SELECT * FROM a WHERE lower(x) = 'y' AND 1 < z", {("a", "z")}),
        ("SELECT * FROM a WHERE x <> 1 AND NOT y = 1 AND z LIKE 'q%'", set()),
        ("SELECT * FROM a, b WHERE x = 1", set()),
        ("SELECT CASE WHEN x = 1 THEN 2 END FROM a", set()),
        ("WITH r AS (SELECT * FROM a WHERE x = 1) SELECT * FROM r WHERE y = 1", {("a", "x")}),
        ("UPDATE a SET x = 1 WHERE y = 2", {("a", "y")}),
        ("DELETE FROM a WHERE y = 2", {("a", "y")}),
        ("SELECT * FROM a WHERE x = ANY(ARRAY[1, 2])", {("a", "x")}),
        ("SELECT FROM WHERE (((", set()),
        ("SELECT " + "(" * 4000 + "1" + ")" * 4000, set()),
    ],
)
def test_the_columns_that_a_query_filters_by(statement, expected):
    """Comparisons with values are, by what an index on the column could find."""
    found = {(each.table, each.column) for each in indexes.filters(statement, "postgresql")}
    assert found == expected


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_small_tables_are_read_whole_and_that_is_well(kind, engine, pool, shape, tmp_path, request):
    """A table of few rows needs no index, also where nothing has analysed it."""
    if kind == "sqlite":
        watched = engine(f"sqlite:///{tmp_path}/small.db")
    elif kind == "postgresql":
        watched = engine(request.getfixturevalue(kind).url("psycopg"))
    else:
        watched = engine(request.getfixturevalue(kind).url())
    with watched.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE small (a int)")
        connection.exec_driver_sql("INSERT INTO small VALUES (1), (2)")
    gnomon.watch_engine(watched, name=pool, slow_seconds=0, explain=True)
    with watched.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM small WHERE a = 1")
    told = shape(pool, lambda each: each.plan is not None)
    gnomon.unwatch_engine(watched)
    with watched.begin() as connection:
        connection.exec_driver_sql("DROP TABLE small")
    assert told.hints == []
