"""The load: its curve, and that a desk under it is well."""

import sys
import time

import pytest

import servers
from gnomon_demo.settings import settings


def test_the_curve_is_lowest_at_four_and_highest_twelve_hours_later(tmp_path):
    """In a process of its own: locust puts its own sockets in the place of Python's."""
    script = (
        "from gnomon_demo import load\n"
        "counts = [load.people(hour / 24) for hour in range(25)]\n"
        "assert min(counts) == counts[4] == load.FEWEST, counts\n"
        "assert max(counts) == counts[16] == load.MOST, counts\n"
        "assert counts[0] == counts[24], counts\n"
        "people, rate = load.Day().tick()\n"
        "assert load.FEWEST <= people <= load.MOST and rate > 0\n"
        "print('as promised')\n"
    )
    with servers.Server([sys.executable, "-c", script], log=tmp_path / "log") as run:
        assert run.process.wait(60) == 0, run.output()
    assert "as promised" in run.output()


def test_a_desk_under_load_is_well(desk, tmp_path):
    """Every kind of visitor is served, nothing fails, and nothing waits in the queue for long."""

    def total(name, **labels):
        return desk.metric(name, **labels)

    served = "http_server_request_duration_seconds_count"
    before = {code: total(served, http_response_status_code=code) for code in ("500", "503", "429")}
    words = [sys.executable, "-m", "gnomon_demo", "load"]
    wanted = {
        "/api/market/{symbol}": 60,
        "/api/models/{model}": 4,
        "/api/evaluations": 2,
        "/api/analytics": 1,
        "/transcribe": 1,
        "/transcribe/batches": 1,
        "/gnomon/vitals": 1,
    }
    start = {route: total(served, http_route=route) for route in wanted}
    with servers.Server(words, log=tmp_path / "log", env=desk.environ) as load:
        end = time.monotonic() + 100
        while any(total(served, http_route=r) - start[r] < n for r, n in wanted.items()):
            assert time.monotonic() < end, load.output()
            assert load.process.poll() is None, load.output()
            time.sleep(0.5)
        assert total("gnomon_websocket_connections") > 0
    after = {code: total(served, http_response_status_code=code) for code in before}
    assert after == before
    assert total("gnomon_web_vitals_lcp_seconds_count", http_route="/") > 0
    assert total("gnomon_web_vitals_rejected_total") == 0
    assert total("gnomon_internal_errors_total") == 0
    assert "Traceback" not in load.output()


def test_settings_are_variables():
    """With what holds without them."""
    found = settings({})
    assert (found.desk, found.exchange) == ("http://127.0.0.1:8000", "http://127.0.0.1:8001")
    assert found.database.startswith("sqlite+aiosqlite:////")
    assert found.redis is None
    moved = settings({"GNOMON_DEMO_DATABASE": "postgresql+asyncpg://db/desk"})
    assert moved.database == "postgresql+asyncpg://db/desk"
    with pytest.raises(ValueError, match="x"):
        settings({"GNOMON_DEMO_DAY_SECONDS": "x"})
