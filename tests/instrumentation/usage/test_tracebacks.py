"""Tracebacks of an application whose own CPU is counted."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

import gnomon


class OddError(Exception):
    """Nobody's but this test's."""


def test_counting_adds_no_frame_to_an_exception():
    """What leaves the application is one frame longer than without us, as without counting."""
    app = FastAPI()

    @app.middleware("http")
    async def between(request, follow):
        return await follow(request)

    @app.get("/fails")
    async def fails():
        raise OddError

    gnomon.instrument(app, service="test", registry=CollectorRegistry(), usage=True)

    async def run():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            await http.get("/fails")

    try:
        with pytest.raises(OddError) as caught:
            asyncio.run(run())
    finally:
        gnomon.uninstrument(app)
    ours = [frame for frame in caught.traceback if "/gnomon/" in str(frame.path)]
    assert len(ours) == 1
