"""What is true of a pool: who holds, who waits, what opened, what broke."""

import asyncio
import threading
import time

import pytest
from sqlalchemy import NullPool, StaticPool, create_engine, event, exc, text

import gnomon
import servers
from databases import postgresql_server
from gnomon import guard

COUNT = "db_client_connection_count"
MAX = "db_client_connection_max"
PENDING = "db_client_connection_pending_requests"
SIZE, OVERFLOW = "gnomon_db_pool_size", "gnomon_db_pool_overflow"
WAITS = "db_client_connection_wait_time_seconds"
USES = "db_client_connection_use_time_seconds"
CREATES = "db_client_connection_create_time_seconds"
TIMEOUTS = "db_client_connection_timeouts_total"
ERRORS = "gnomon_db_connection_errors_total"


def state(shown):
    """Give the pool's gauges: used, idle, size, overflow, most, pending."""
    return (
        shown(COUNT, db_client_connection_state="used"),
        shown(COUNT, db_client_connection_state="idle"),
        *(shown(name) for name in (SIZE, OVERFLOW, MAX, PENDING)),
    )


def test_a_pool_driven_to_exhaustion_is_shown_exactly(engine, pool, shown, together, until):
    """Of 20 + 30 connections all are used, each caller more waits, and each wait is counted."""
    busy = engine(pool_size=20, max_overflow=30, pool_timeout=60)
    gnomon.watch_engine(busy, name=pool)
    assert state(shown) == (0, 0, 20, 0, 50, 0)

    held = [busy.connect() for _ in range(12)]
    assert state(shown) == (12, 0, 20, 0, 50, 0)
    held += [busy.connect() for _ in range(38)]
    assert state(shown) == (50, 0, 20, 30, 50, 0)
    assert shown(f"{WAITS}_count") == 50
    assert shown(f"{CREATES}_count") == 50
    before = shown(f"{WAITS}_sum")

    waited = []

    def want():
        began = time.perf_counter()
        connection = busy.connect()
        waited.append(time.perf_counter() - began)
        held.append(connection)

    threads = together(7, want)
    until(lambda: shown(PENDING) == 7, 30)
    assert state(shown) == (50, 0, 20, 30, 50, 7)
    assert shown(f"{WAITS}_count") == 50
    time.sleep(0.3)  # a wait that shows
    for _ in range(7):
        held.pop(0).close()
    for thread in threads:
        thread.join(30)
    assert state(shown) == (50, 0, 20, 30, 50, 0)
    assert shown(f"{WAITS}_count") == 57
    # Theirs is measured around ours, so it is the longer one, by what the threads took to go on.
    assert 7 * 0.3 <= shown(f"{WAITS}_sum") - before <= sum(waited)
    assert shown(TIMEOUTS) == 0

    for connection in held:
        connection.close()
    assert state(shown) == (0, 20, 20, 0, 50, 0)
    assert shown(f"{USES}_count") == 57


def test_callers_that_give_up_are_timeouts_and_no_waits(engine, pool, shown, together):
    """Each caller that the pool has nothing for in time counts once, and as no wait."""
    busy = engine(pool_size=2, max_overflow=1, pool_timeout=0.3)
    gnomon.watch_engine(busy, name=pool)
    held = [busy.connect() for _ in range(3)]
    failed = []

    def want():
        try:
            busy.connect()
        except exc.TimeoutError as error:
            failed.append(error)

    for thread in together(5, want):
        thread.join(30)
    assert len(failed) == shown(TIMEOUTS) == 5
    assert shown(f"{WAITS}_count") == 3
    assert shown(PENDING) == 0
    for connection in held:
        connection.close()


@pytest.mark.parametrize("kind", ["aiosqlite", "asyncpg", "psycopg", "aiomysql"])
def test_an_asynchronous_pool_is_shown_exactly(kind, asynchronous, pool, shown, tmp_path, request):
    """Tasks that wait, hold and give up count as threads do, with each driver."""
    if kind == "aiosqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/desk.db"
    elif kind == "aiomysql":
        url = request.getfixturevalue("mariadb").url("aiomysql")
    else:
        url = request.getfixturevalue("postgresql").url(kind)

    async def body(busy):
        gnomon.watch_engine(busy, name=pool)
        held = [await busy.connect() for _ in range(5)]
        assert state(shown) == (5, 0, 2, 3, 5, 0)
        tasks = [asyncio.create_task(waiting(busy)) for _ in range(4)]
        async with asyncio.timeout(30):
            while shown(PENDING) != 4:  # noqa: ASYNC110  # what is on the page is polled
                await asyncio.sleep(0.01)
        assert state(shown) == (5, 0, 2, 3, 5, 4)
        for connection in held:
            await connection.close()
        assert await asyncio.gather(*tasks) == [1] * 4
        assert shown(f"{WAITS}_count") == shown(f"{USES}_count") == 9
        assert (shown(PENDING), shown(TIMEOUTS)) == (0, 0)
        assert shown(COUNT, db_client_connection_state="used") == 0

    async def waiting(busy):
        async with busy.connect() as connection:
            return await connection.scalar(text("SELECT 1"))

    asynchronous(url, body, pool_size=2, max_overflow=3, pool_timeout=60)


def test_asynchronous_callers_that_give_up(asynchronous, pool, shown, tmp_path):
    """A task that the pool leaves waiting too long is a timeout, and no error."""

    async def body(busy):
        gnomon.watch_engine(busy, name=pool)
        async with busy.connect():
            with pytest.raises(exc.TimeoutError):
                await busy.connect()
        assert (shown(TIMEOUTS), shown(PENDING), shown(ERRORS)) == (1, 0, None)

    url = f"sqlite+aiosqlite:///{tmp_path}/desk.db"
    asynchronous(url, body, pool_size=1, max_overflow=0, pool_timeout=0.2)


def test_asynchronous_callers_that_are_cancelled(asynchronous, pool, shown, tmp_path):
    """A task that is cancelled while it waits waits no more, and is neither timeout nor error."""

    async def body(busy):
        gnomon.watch_engine(busy, name=pool)
        async with busy.connect():
            task = asyncio.create_task(busy.connect().start())
            async with asyncio.timeout(30):
                while shown(PENDING) != 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        assert (shown(TIMEOUTS), shown(PENDING), shown(ERRORS)) == (0, 0, None)

    url = f"sqlite+aiosqlite:///{tmp_path}/desk.db"
    asynchronous(url, body, pool_size=1, max_overflow=0, pool_timeout=60)


def test_how_long_a_connection_was_held(engine, pool, shown):
    """The time from a checkout to the return is what the holder took."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)
    began = time.perf_counter()
    with watched.connect():
        inside = time.perf_counter()
        time.sleep(0.2)
        within = time.perf_counter() - inside
    around = time.perf_counter() - began
    assert within <= shown(f"{USES}_sum") <= around


def test_what_left_the_pool_is_no_longer_held(engine, pool, shown):
    """Connections that are detached, invalidated or forgotten end their hold there."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)
    detached = watched.connect()
    detached.detach()
    assert shown(f"{USES}_count") == 1
    detached.close()
    broken = watched.connect()
    broken.invalidate()
    broken.close()
    assert shown(f"{USES}_count") == 2
    forgotten = watched.raw_connection()
    del forgotten
    assert shown(f"{USES}_count") == 3
    assert shown(COUNT, db_client_connection_state="used") == 0


def test_pools_without_bounds_claim_none(engine, pool, shown):
    """A pool that keeps nothing, or has one connection for all, has no size to be exhausted."""
    none = engine(poolclass=NullPool)
    gnomon.watch_engine(none, name=pool)
    with none.connect(), none.connect():
        assert state(shown) == (2, None, None, None, None, 0)
    assert state(shown) == (0, None, None, None, None, 0)
    assert shown(f"{USES}_count") == shown(f"{CREATES}_count") == 2
    gnomon.unwatch_engine(none)

    static = engine("sqlite://", poolclass=StaticPool)
    gnomon.watch_engine(static, name=pool)
    with static.connect(), static.connect():
        assert state(shown) == (1, None, None, None, None, 0)
    assert state(shown) == (0, None, None, None, None, 0)
    gnomon.unwatch_engine(static)

    memory = engine("sqlite://")
    gnomon.watch_engine(memory, name=pool)
    with memory.connect(), memory.connect():
        assert shown(COUNT, db_client_connection_state="used") == 1
    assert shown(COUNT, db_client_connection_state="used") == 0
    gnomon.unwatch_engine(memory)

    unbounded = engine(max_overflow=-1, pool_size=3)
    gnomon.watch_engine(unbounded, name=pool)
    with unbounded.connect():
        assert state(shown) == (1, 0, 3, 0, None, 0)


def test_engines_of_one_name_are_added_up(engine, pool, shown):
    """Two pools of one name are one on the page, so that no series is there twice."""
    for _ in range(2):
        gnomon.watch_engine(engine(pool_size=4, max_overflow=1), name=pool)
    assert state(shown) == (0, 0, 8, 0, 10, 0)


def test_the_pool_is_called_as_the_database_without_a_name(engine, tmp_path):
    """Without a name the database's is taken, of a file without its folders."""
    from gnomon import subjects

    gnomon.watch_engine(engine(f"sqlite:///{tmp_path}/orders.db"))
    gnomon.watch_engine(engine("sqlite://"))
    names = {
        sample.labels["db_client_connection_pool_name"]
        for family in subjects.collect()
        for sample in family.samples
        if sample.name == COUNT
    }
    assert names >= {"orders.db", ":memory:"}


def test_a_pool_goes_on_after_it_was_disposed_of(engine, pool, shown):
    """The pool that takes another's place is watched as that was."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)
    with watched.connect():
        watched.dispose()
        assert shown(COUNT, db_client_connection_state="used") == 0
    with watched.connect():
        assert shown(COUNT, db_client_connection_state="used") == 1
    assert shown(f"{WAITS}_count") == shown(f"{CREATES}_count") == shown(f"{USES}_count") == 2


def test_a_second_call_changes_nothing(engine, pool, shown, caplog):
    """Whatever is watched twice is counted once, by the settings of the first call."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)
    gnomon.watch_engine(watched, name=pool)
    assert not caplog.records
    gnomon.watch_engine(watched.execution_options(isolation_level="AUTOCOMMIT"), name="other")
    assert "keeps the settings of the first call" in caplog.text
    with watched.connect():
        pass
    assert shown(f"{WAITS}_count") == 1


def test_what_is_unwatched_is_as_it_was(engine, pool, shown):
    """Nothing of ours stays on the engine or its pool, and nothing more is counted."""
    watched = engine()
    before = dict(vars(watched.pool))
    gnomon.watch_engine(watched, name=pool)
    assert vars(watched.pool) != before
    gnomon.unwatch_engine(watched)
    gnomon.unwatch_engine(watched)
    assert vars(watched.pool) == before
    with watched.connect() as connection:
        connection.execute(text("SELECT 1"))
    watched.dispose()
    assert vars(watched.pool).keys() == before.keys()
    assert shown(f"{WAITS}_count") is None
    assert shown(COUNT) is None


def test_an_engine_that_is_gone_leaves_the_page(pool, shown):
    """Watching keeps no engine alive."""
    import gc

    gone = create_engine("sqlite://")
    gnomon.watch_engine(gone, name=pool)
    assert shown(COUNT) == 0
    del gone
    gc.collect()
    assert shown(COUNT) is None


def test_what_is_no_engine_is_refused(engine):
    """A mistake in the setting up is told at once, with what is meant."""
    with pytest.raises(TypeError, match="Engine or AsyncEngine of SQLAlchemy, not str"):
        gnomon.watch_engine("sqlite://")
    with pytest.raises(TypeError, match="not NoneType"):
        gnomon.unwatch_engine(None)
    with pytest.raises(ValueError, match="slow_seconds"):
        gnomon.watch_engine(engine(), slow_seconds=-1)
    with pytest.raises(ValueError, match="name"):
        gnomon.watch_engine(engine(), name="")


def test_a_database_that_nobody_answers_for(engine, pool, shown):
    """A connection that cannot be opened is an error by its kind, and no wait."""
    url = f"postgresql+psycopg://x:hunter2@127.0.0.1:{servers.free_port()}/x"
    watched = engine(url)
    gnomon.watch_engine(watched, name=pool)
    for _ in range(3):
        with pytest.raises(exc.OperationalError):
            watched.connect()
    assert shown(ERRORS, error_type="psycopg.OperationalError") == 3
    assert shown(ERRORS) == 3
    assert shown(f"{WAITS}_count") is None
    assert shown(COUNT, db_client_connection_state="used") == 0


def test_an_asynchronous_database_that_nobody_answers_for(asynchronous, pool, shown):
    """What an asynchronous driver raises is counted by its own name."""

    async def body(watched):
        gnomon.watch_engine(watched, name=pool)
        with pytest.raises(OSError, match=r"."):
            await watched.connect()
        assert shown(ERRORS, error_type="ConnectionRefusedError") == shown(ERRORS) == 1

    asynchronous(f"postgresql+asyncpg://x:x@127.0.0.1:{servers.free_port()}/x", body)


def test_connections_that_break_are_errors(engine, pool, shown, postgresql):
    """One that breaks while it is used, and one that a ping finds broken, count once each."""
    watched = engine(postgresql.url("psycopg"), pool_pre_ping=True)
    gnomon.watch_engine(watched, name=pool)
    kill = "SELECT pg_terminate_backend({})"
    with watched.connect() as connection:
        number = connection.scalar(text("SELECT pg_backend_pid()"))
        postgresql.say(kill.format(number))
        with pytest.raises(exc.OperationalError):
            connection.execute(text("SELECT 1"))
    assert shown(ERRORS) == 1
    with watched.connect() as connection:
        number = connection.scalar(text("SELECT pg_backend_pid()"))
    postgresql.say(kill.format(number))
    with watched.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    assert shown(ERRORS) == 2


def test_a_database_that_goes_away_and_comes_back(engine, pool, shown):
    """The application sees the same errors as without us, and the same answers afterwards."""
    with postgresql_server() as first:
        port = first.port
        watched = engine(first.url("psycopg"))
        gnomon.watch_engine(watched, name=pool)
        with watched.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
    with pytest.raises(exc.OperationalError), watched.connect() as connection:
        connection.execute(text("SELECT 1"))
    with postgresql_server(port=port), watched.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    assert shown(ERRORS) == 1
    assert shown(COUNT, db_client_connection_state="used") == 0


def test_listeners_of_the_applications_own_see_what_they_saw(engine, pool, shown):
    """An event that raises, and one that wants another connection, work as without us."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)
    attempts = []

    @event.listens_for(watched, "checkout")
    def refuse(*_):
        attempts.append(1)
        if len(attempts) == 1:
            raise exc.DisconnectionError
        if len(attempts) == 3:
            raise RuntimeError("no")

    with watched.connect():
        assert len(attempts) == 2
    with pytest.raises(RuntimeError, match="no"):
        watched.connect()
    assert shown(COUNT, db_client_connection_state="used") == 0
    assert shown(f"{CREATES}_count") == 2


def test_faults_of_ours_stay_ours(engine, pool, monkeypatch):
    """Whatever fails in measuring, the application gets its connection and its rows."""
    watched = engine()
    gnomon.watch_engine(watched, name=pool)

    def broken(*_):
        raise RuntimeError("telemetry")

    monkeypatch.setattr("gnomon.traces.exemplar", broken)
    failed = []
    monkeypatch.setattr(guard, "failed", failed.append)
    with watched.begin() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
        with pytest.raises(exc.OperationalError):
            connection.execute(text("SELECT * FROM nowhere"))
    assert set(failed) == {"database pool", "database query"}


def test_many_threads_at_once_are_counted_exactly(engine, pool, shown, together):
    """No checkout is lost or counted twice when threads come and go at once."""
    watched = engine(pool_size=4, max_overflow=2, pool_timeout=60)
    gnomon.watch_engine(watched, name=pool)
    gate = threading.Barrier(12)

    def use():
        gate.wait(30)
        for _ in range(50):
            with watched.connect() as connection:
                connection.execute(text("SELECT 1"))

    for thread in together(12, use):
        thread.join(60)
    assert shown(f"{WAITS}_count") == shown(f"{USES}_count") == 600
    assert shown(PENDING) == shown(COUNT, db_client_connection_state="used") == 0
