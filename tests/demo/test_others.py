"""The desk with what it can use besides itself: Redis, PostgreSQL, a collector of spans."""

import os
import signal
import sys

import caches
import otlp
import servers
from gnomon_demo.symbols import SYMBOLS
from gnomon_demo.tones import tone


def test_redis_is_the_second_tier_of_prices_for_all_workers(another, tmp_path, eventually):
    """What one worker has asked for the other finds; both go on when Redis is gone."""
    with caches.redis_server(tmp_path) as (port, server):
        desk = another(GNOMON_DEMO_REDIS=f"redis://127.0.0.1:{port}/0")

        def found_there():
            for symbol in SYMBOLS:
                assert desk.get(f"/api/market/{symbol}").status_code == 200
            return desk.metric("gnomon_cache_hits_total", cache="price_data", tier="l2") > 0

        eventually(found_there)
        server.stop()
        for symbol in SYMBOLS:
            answer = desk.get(f"/api/market/{symbol}")
            assert (answer.status_code, answer.json()["stale"]) == (200, False)


def test_postgresql_serves_as_well_as_sqlite(another, postgresql, eventually):
    """By its address; the same tables, the same answers, its own pool."""
    postgresql.say("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    try:
        desk = another(GNOMON_DEMO_DATABASE=postgresql.url("asyncpg"))
        new = {"model": "trend", "metric": "recall", "score": 0.5}
        assert desk.post("/api/evaluations", json=new).status_code == 201
        assert desk.get("/api/evaluations").json()[0]["score"] == 0.5
        assert len(desk.get("/api/models").json()) == 6
        found = desk.done(desk.send(("a.wav", tone(1)), ("b.wav", tone(2))))
        assert found["summary"]["done"] == 2
        eventually(lambda: desk.get("/api/analytics").json()["symbols"])
        assert desk.post("/api/reports", json={"title": "Here"}).status_code == 201
        for page in ("/", "/performance", f"/performance/batches/{found['batch']}"):
            assert desk.get(page).status_code == 200
        counted = "db_client_operation_duration_seconds_count"
        assert desk.metric(counted, db_system_name="postgresql") > 0
    finally:
        postgresql.say("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")


def test_celery_s_workers_take_the_queue_over(another, tmp_path, eventually):
    """By priority, with retries, and with the same transcripts and numbers; a dead end says why."""
    with caches.redis_server(tmp_path) as (port, _):
        celery = {"GNOMON_DEMO_CELERY": f"redis://127.0.0.1:{port}/0"}
        desk = another(**celery)
        waiting = desk.send(("one.wav", tone(1)), ("bad.wav", b"nothing"), priority="low")
        assert desk.get(f"/transcribe/batches/{waiting}").json()["summary"]["done"] == 0
        own = {"GNOMON_DEMO_WORKER_PORT": str(servers.free_port())}
        words = [sys.executable, "-m", "gnomon_demo", "worker"]
        page = f"http://127.0.0.1:{own['GNOMON_DEMO_WORKER_PORT']}/metrics"
        environ = {**desk.environ, **own}
        with servers.Server(words, ready=page, log=tmp_path / "worker", env=environ) as worker:
            found = {file["name"]: file for file in desk.done(waiting)["files"]}
            assert found["one.wav"]["state"] == "done"
            assert found["one.wav"]["performance"]["own"]["cpu_seconds"] > 0
            assert found["bad.wav"]["state"] == "failed"
            assert "not a WAV file" in found["bad.wav"]["error"]
            counted = 'gnomon_job_runs_total{job_name="transcribe",outcome="success"} 1.0'
            eventually(lambda: counted in servers.fetch(page).decode())
            os.kill(worker.process.pid, signal.SIGTERM)
            worker.process.wait(30)


def test_one_request_is_one_trace_through_desk_and_exchange(another, tmp_path, eventually):
    """Spans go where OTEL_EXPORTER_OTLP_ENDPOINT says, and a histogram leads to one of them."""
    with otlp.http_receiver() as received:
        traced = {
            "OTEL_SDK_DISABLED": "false",
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.address,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "GNOMON_EXCHANGE_PORT": str(servers.free_port()),
            "GNOMON_DEMO_DATA": str(tmp_path / "data"),
        }
        url = f"http://127.0.0.1:{traced['GNOMON_EXCHANGE_PORT']}/-/ready"
        words = [sys.executable, "-m", "gnomon_demo", "exchange"]
        log = tmp_path / "exchange"
        with servers.Server(words, ready=url, log=log, env=traced):
            desk = another(**traced)
            for symbol in SYMBOLS:
                desk.get(f"/api/market/{symbol}")

            def through_both():
                return [
                    spans
                    for spans in received.traces().values()
                    if {told.service for told in spans} == {"desk", "exchange"}
                    and any(told.span.name == "GET /api/market/{symbol}" for told in spans)
                ]

            eventually(through_both)
            accept = {"Accept": "application/openmetrics-text"}
            page = desk.get("/metrics", headers=accept).text
            ids = {told.span.trace_id.hex() for spans in through_both() for told in spans}
            assert any(f'trace_id="{trace}"' in page for trace in ids)
