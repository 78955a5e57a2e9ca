"""Faults on request: each moves the metric that it is named for, no other, and ends."""

import asyncio
import time

import httpx
import pytest
from sqlalchemy import text

from gnomon_demo import faults
from gnomon_demo.database import Database
from gnomon_demo.effects import effects
from gnomon_demo.faults import FAULTS, Faults
from gnomon_demo.tones import tone

ROUNDS, PAUSE_S = 8, 0.15
# Several faults come and go, each of which has a while to show on a busy machine.
pytestmark = pytest.mark.timeout(600)

POOL = 20  # connections that two workers may open
MIB = 1 << 20

#: What a fault brings along besides its own sign: answers that never come are never kept.
BESIDES = {"outage": {"cache-storm"}}


def reading(desk):
    """Return the numbers from which the signs are told."""
    samples = desk.metrics()

    def total(name, **labels):
        return sum(
            s.value for s in samples if s.name == name and labels.items() <= s.labels.items()
        )

    route = "/api/market/{symbol}"
    return {
        "quick": total("http_server_request_duration_seconds_bucket", http_route=route, le="0.5"),
        "requests": total("http_server_request_duration_seconds_count", http_route=route),
        "failed": total(
            "http_server_request_duration_seconds_count", http_response_status_code="500"
        ),
        "memory": total("process_resident_memory_bytes"),
        "used": total("db_client_connection_count", db_client_connection_state="used"),
        "missed": total("gnomon_cache_misses_total", cache="price_data", tier="l1"),
        "depth": total("gnomon_queue_depth", queue="transcriptions"),
        "refused": total(
            "http_client_request_duration_seconds_count", http_response_status_code="503"
        ),
    }


def signs(desk, memory):
    """Return which faults can be seen in what a few requests leave behind."""
    before = reading(desk)
    for _ in range(ROUNDS):
        desk.get("/api/market/ANVL")
        time.sleep(PAUSE_S)
    now = reading(desk)
    new = {name: now[name] - before[name] for name in now}
    shown = {
        "slow": new["requests"] > 0 and not new["quick"],
        "errors": new["failed"] > 0,
        "leak": now["memory"] > memory + 40 * MIB,
        "pool": now["used"] >= POOL,
        "cache-storm": new["missed"] >= ROUNDS - 1,
        "backlog": now["depth"] >= 5,
        "outage": new["refused"] > 0,
    }
    return {name for name, shows in shown.items() if shows}


@pytest.fixture
def clean(desk):
    """No fault, before and after."""
    yield
    for name in FAULTS:
        desk.http.delete(f"/faults/{name}")


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_shows_in_its_metric_alone_and_ends(desk, eventually, name):
    """Its own sign appears, no other does, and once it is ended the sign is gone."""
    eventually(lambda: not signs(desk, memory=1 << 40), 180)
    memory = reading(desk)["memory"]
    answer = desk.post(f"/faults/{name}?seconds=500")
    assert answer.status_code == 202
    assert answer.json()["does"] == FAULTS[name]
    eventually(lambda: name in signs(desk, memory), 180)
    assert signs(desk, memory) - {name} <= BESIDES.get(name, set())
    assert desk.get("/faults").json()[name]["left"] > 0
    assert desk.http.delete(f"/faults/{name}").status_code == 204
    eventually(lambda: not signs(desk, memory), 180)


@pytest.mark.usefixtures("clean")
def test_a_fault_ends_by_itself(desk, eventually):
    """After the seconds that it was given, or the longest there are."""
    assert desk.post("/faults/outage?seconds=2").status_code == 202
    eventually(lambda: desk.get("/faults").json()["outage"]["left"] is None)
    eventually(lambda: desk.get("/api/market/BRCH").json()["stale"] is False)


@pytest.mark.usefixtures("clean")
def test_without_the_exchange_the_last_price_stands_in(desk, eventually):
    """And says that it is stale; nobody gets an error for it."""
    eventually(lambda: desk.get("/api/analytics").json()["symbols"])
    desk.post("/faults/outage?seconds=300")
    answers = []

    def stale():
        answers.append(desk.get("/api/market/JNPR"))
        return answers[-1].json()["stale"]

    eventually(stale, 60)
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].json()["price"] > 0
    assert desk.get("/api/market/NOPE").status_code == 404


@pytest.mark.usefixtures("clean")
def test_an_exhausted_pool_is_said_to_be_busy(desk, eventually):
    """503 and not 500, and the waits that were in vain are counted."""
    desk.post("/faults/pool?seconds=300")
    eventually(lambda: desk.get("/api/evaluations").status_code == 503, 60)
    assert desk.metric("db_client_connection_timeouts_total") > 0
    desk.http.delete("/faults/pool")
    eventually(lambda: desk.get("/api/evaluations").status_code == 200)


def test_a_pool_is_nearly_used_up_before_it_is_empty(tmp_path):
    """For most of the time some connections are left for others, and all are given back."""

    async def fill():
        database = Database(f"sqlite+aiosqlite:///{tmp_path}/desk.db")
        taken = database.engine.pool.checkedout
        # The early part takes 5 s, what comes after it 15 s.
        running = effects(database, None, None, None, pool_s=20)
        task = asyncio.create_task(running["pool"]())
        try:
            async with asyncio.timeout(60):
                while taken() < 8:  # noqa: ASYNC110  # a pool tells nobody
                    await asyncio.sleep(0.05)
            async with database.session() as session:
                assert await session.scalar(text("select 1")) == 1
            assert taken() == 8
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert taken() == 0
        await database.close()

    asyncio.run(fill())


@pytest.mark.usefixtures("clean")
def test_failed_recordings_are_tried_again(desk):
    """While `errors` is under way half of the tries fail; nearly all recordings are done."""
    before = desk.metric("gnomon_queue_retried_total", queue="transcriptions")
    desk.post("/faults/errors?seconds=300")
    answer = None
    for _ in range(50):  # this request, too, may be one of those that fail
        answer = desk.post(
            "/transcribe/batches", files=[("files", (f"{n}.wav", tone(1))) for n in range(20)]
        )
        if answer.status_code == 202:
            break
    desk.http.delete("/faults/errors")
    found = desk.done(answer.json()["batch"])
    tries = [file["tries"] for file in found["files"]]
    retried = desk.metric("gnomon_queue_retried_total", queue="transcriptions") - before
    assert max(tries) <= 3
    assert retried >= sum(n - 1 for n in tries)
    assert found["summary"]["done"] >= 10


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.1.2.3"},
        {"Forwarded": "for=10.1.2.3"},
        {"Via": "1.1 proxy"},
        {"Host": "desk.example"},
        {"Host": "desk.example:8000"},
        {"Host": "127.0.0.1.example:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_faults_are_for_whoever_sits_at_this_machine(desk, headers):
    """Not through a proxy, not by another name, not from another site's page."""
    assert desk.post("/faults/slow?seconds=1", headers=headers).status_code == 403
    assert desk.get("/faults", headers=headers).status_code == 403
    assert desk.get("/faults").json()["slow"]["left"] is None


def test_what_is_no_fault_is_refused(desk):
    """Another name, another time."""
    answer = desk.post("/faults/none")
    assert answer.status_code == 404
    assert "cache-storm" in answer.json()["detail"]
    assert desk.post("/faults/..%2Fslow").status_code in {404, 405}
    for seconds in ("0", "-1", "3601", "nan", "x"):
        assert desk.post(f"/faults/slow?seconds={seconds}").status_code == 422, seconds
    assert desk.http.delete("/faults/none").status_code == 404


def test_addresses_other_than_loopback_are_refused(tmp_path):
    """Whatever their headers say."""
    from fastapi import FastAPI

    from gnomon_demo.routes import faults as routes

    app = FastAPI()
    app.include_router(routes.router)

    async def ask(client):
        transport = httpx.ASGITransport(app, client=(client, 50000), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return (await http.get("/faults")).status_code

    for client in ("10.0.0.1", "192.168.1.5", "203.0.113.9", "127.0.0.1.example"):
        assert asyncio.run(ask(client)) == 403, client
    assert asyncio.run(ask("127.0.0.1")) == 500  # let in, to a desk that is not there
    assert tmp_path.exists()


def test_an_effect_runs_as_long_as_its_fault(tmp_path):
    """It is started anew where it fails, and cancelled at the end."""
    runs, ended = [], []

    async def effect():
        runs.append(1)
        if len(runs) == 1:
            raise RuntimeError("the first run fails")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async def follow():
        found = Faults(tmp_path)
        found.effects = {"leak": effect}
        await found.look()
        assert runs == []
        faults.begin(tmp_path, "leak", 60)
        for _ in range(3):
            await found.look()
            await asyncio.sleep(0)
        assert "leak" in found
        assert len(runs) == 2
        faults.end(tmp_path, "leak")
        await found.look()
        assert "leak" not in found
        assert ended == [1]

    asyncio.run(follow())


def test_what_an_earlier_run_was_asked_for_is_forgotten(tmp_path):
    """A start of the demo begins without faults."""
    faults.begin(tmp_path, "slow", 60)
    (tmp_path / "pool").write_text("no number")
    assert faults.under_way(tmp_path).keys() == {"slow"}
    faults.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []
