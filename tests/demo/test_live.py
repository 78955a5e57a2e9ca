"""Prices by WebSocket."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from gnomon_demo.prices import Prices
from gnomon_demo.quotes import ExchangeDown
from gnomon_demo.symbols import SYMBOLS


def address(desk):
    """Return where prices are told."""
    return desk.url.replace("http", "ws", 1) + "/ws/prices"


async def told(socket):
    """Return the next prices."""
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), 30))
        if "prices" in message:
            return message["prices"]


def test_a_client_hears_of_what_it_subscribes_to(desk):
    """And of nothing else; unknown symbols and words that are none are passed over."""

    async def listen():
        async with connect(address(desk), proxy=None) as socket:
            await socket.send("no JSON")
            await socket.send("[1, 2]")
            await socket.send(json.dumps({"subscribe": 7}))
            await socket.send(json.dumps({"subscribe": [["x"]]}))
            await socket.send(json.dumps({"subscribe": ["ANVL", "IRIS", "NOPE"]}))
            first = await told(socket)
            await socket.send(json.dumps({"unsubscribe": ["IRIS"]}))
            while (then := await told(socket)).keys() == first.keys():
                pass
            return first, then

    first, then = asyncio.run(listen())
    assert first.keys() == {"ANVL", "IRIS"}
    assert then.keys() == {"ANVL"}
    assert first["ANVL"] == pytest.approx(SYMBOLS["ANVL"], rel=0.2)


def test_many_clients_are_counted_and_gone_when_they_go(desk, eventually):
    """Connections, subscriptions and messages are right to the last."""
    before = desk.metric("gnomon_websocket_messages_total", direction="received")

    async def listen():
        sockets = [await connect(address(desk), proxy=None) for _ in range(100)]
        for socket in sockets:
            await socket.send(json.dumps({"subscribe": ["ANVL", "BRCH"]}))
        await asyncio.gather(*(told(socket) for socket in sockets))
        counted = await asyncio.to_thread(levels, desk)
        await asyncio.gather(*(socket.close() for socket in sockets))
        return counted

    assert asyncio.run(listen()) == (100, 200)
    eventually(lambda: levels(desk) == (0, 0))
    received = desk.metric("gnomon_websocket_messages_total", direction="received")
    assert received - before == 100


def test_the_exchange_is_asked_only_while_somebody_listens():
    """Once for all, and no longer than the last of them."""

    class Exchange:
        def __init__(self):
            self.asked = 0

        async def quotes(self):
            self.asked += 1
            if self.asked == 1:
                raise ExchangeDown("closed")
            return {"ANVL": 1.0 * self.asked}

    async def run(monkeypatch):
        monkeypatch.setattr("gnomon_demo.prices.PAUSE_S", 0.01)
        exchange = Exchange()
        prices = Prices(exchange)
        async with prices.listen() as one, prices.listen() as other:
            heard = await asyncio.wait_for(one.get(), 30)
            assert (await asyncio.wait_for(other.get(), 30))[1]["ANVL"] >= heard[1]["ANVL"] >= 2
        asked = exchange.asked
        await asyncio.sleep(0.1)
        assert exchange.asked <= asked + 1

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(run(monkeypatch))


def levels(desk):
    """Return how many WebSockets there are, and how many subscriptions."""
    return (
        desk.metric("gnomon_websocket_connections"),
        desk.metric("gnomon_websocket_subscriptions", type="prices"),
    )
