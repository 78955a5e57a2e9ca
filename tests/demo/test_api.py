"""`/api`: every endpoint, its answers and its refusals."""

import time

import pytest

from gnomon_demo.limiting import Limiter
from gnomon_demo.market import analyse
from gnomon_demo.symbols import SYMBOLS, price


def test_models_have_the_scores_that_they_were_given(desk):
    """An evaluation shows in its model, at once or once the cached list is a minute old."""
    models = {model["id"]: model for model in desk.get("/api/models").json()}
    assert {"whisper-small", "trend"} <= models.keys()
    new = {"model": "trend", "metric": "accuracy", "score": 0.75}
    assert desk.post("/api/evaluations", json=new).status_code == 201
    found = desk.get("/api/models/trend").json()
    assert found["kind"] == "market"
    assert (found["newest"][0]["metric"], found["newest"][0]["score"]) == ("accuracy", 0.75)


def test_models_are_listed_by_kind(desk):
    """Only those of the kind."""
    assert {m["kind"] for m in desk.get("/api/models?kind=speech").json()} == {"speech"}
    assert desk.get("/api/models?kind=none").json() == []


def test_evaluations_are_listed_newest_first(desk):
    """Of one model, no more than asked for."""
    for score in (0.1, 0.2, 0.3):
        new = {"model": "headlines", "metric": "recall", "score": score}
        assert desk.post("/api/evaluations", json=new).json() == new
    found = desk.get("/api/evaluations?model=headlines&limit=2").json()
    assert [one["score"] for one in found] == [0.3, 0.2]


@pytest.mark.parametrize(
    ("new", "status"),
    [
        ({"model": "none", "metric": "recall", "score": 0.5}, 404),
        ({"model": "trend", "metric": "recall", "score": 1.5}, 422),
        ({"model": "trend", "metric": "x; drop table", "score": 0.5}, 422),
        ({"model": "trend"}, 422),
    ],
)
def test_evaluations_that_cannot_be_are_refused(desk, new, status):
    """Unknown models, scores beyond 1, names that are none."""
    assert desk.post("/api/evaluations", json=new).status_code == status


def test_a_report_is_written_listed_and_read(desk):
    """With analytics of the day, and the symbols that moved together."""
    written = desk.post("/api/reports", json={"title": "On request"}).json()
    assert written["title"] in [one["title"] for one in desk.get("/api/reports").json()]
    found = desk.get(f"/api/reports/{written['id']}").json()
    assert found == written
    assert found["body"]["hours"] == 24
    assert len(found["body"]["together"]) == 3
    assert all(-1 <= pair["correlation"] <= 1 for pair in found["body"]["together"])


def test_analytics_are_of_the_prices_that_were_written_down(desk, eventually):
    """One worker writes a price of each symbol, every fifteen seconds."""
    eventually(lambda: desk.get("/api/analytics").json()["symbols"])
    found = desk.get("/api/analytics?hours=0.5").json()
    assert {one["symbol"] for one in found["symbols"]} == SYMBOLS.keys()
    for one in found["symbols"]:
        assert one["low"] <= one["average"] <= one["high"]
        assert one["low"] == pytest.approx(SYMBOLS[one["symbol"]], rel=0.2)


def test_a_symbol_is_shown_with_the_price_of_its_time(desk):
    """As the exchange gives it, with analysis and headlines."""
    found = desk.get("/api/market/ANVL").json()
    assert found["price"] == price("ANVL", found["at"])
    assert time.time() - found["at"] < 60
    assert len(found["news"]) == 3
    assert found["stale"] is False
    assert 0 <= found["analysis"]["strength"] <= 100


def test_prices_are_asked_for_once_in_a_while(desk):
    """The second answer comes from the cache of the worker, or of the other one."""
    times = {desk.get("/api/market/KELP").json()["at"] for _ in range(12)}
    assert len(times) <= 4
    assert desk.metric("gnomon_cache_hits_total", cache="price_data") > 0


def test_unknown_things_are_not_found(desk):
    """A symbol, a model, a report, a path."""
    for path in ("/api/market/NOPE", "/api/models/none", "/api/reports/99999", "/api/none"):
        assert desk.get(path).status_code == 404, path


def test_the_exchange_is_asked_again_where_it_refuses(desk, eventually):
    """One request in fifty is refused; in the end nearly all succeed."""

    def asked():
        for symbol in SYMBOLS:
            desk.get(f"/api/market/{symbol}")
        return desk.metric("http_client_request_duration_seconds_count") > 40

    eventually(asked, 120)
    bad = desk.metric("gnomon_http_client_retries_total", outcome="failure")
    assert bad <= 0.05 * desk.metric("http_client_request_duration_seconds_count")
    assert desk.get("/api/market/LARK").json()["stale"] is False


def test_analysis_is_what_the_prices_say():
    """Checked against numbers that are known."""
    rising = analyse([100.0 + n for n in range(120)])
    assert rising["average_20"] == pytest.approx(209.5)
    assert rising["average_60"] == pytest.approx(189.5)
    assert rising["change"] == pytest.approx(1.19)
    assert rising["strength"] == 100
    assert analyse([5.0] * 120) == {
        "average_20": 5.0,
        "average_60": 5.0,
        "change": 0.0,
        "volatility": 0.0,
        "strength": 50.0,
    }


def test_a_client_that_asks_too_often_is_refused_and_others_are_not(monkeypatch):
    """Its bucket fills again with time."""
    now = [0.0]
    monkeypatch.setattr("gnomon_demo.limiting.time.monotonic", lambda: now[0])
    limiter = Limiter(rate=10, burst=5)
    assert [limiter.allows("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert limiter.allows("b")
    now[0] = 0.25
    assert [limiter.allows("a") for _ in range(4)] == [True, True, False, False]


def test_clients_are_forgotten_before_they_fill_the_memory(monkeypatch):
    """Whoever was seen longest ago goes first."""
    monkeypatch.setattr("gnomon_demo.limiting.CLIENTS", 100)
    limiter = Limiter()
    for n in range(1000):
        limiter.allows(f"client {n}")
    assert len(limiter._buckets) == 100
    assert "client 999" in limiter._buckets
