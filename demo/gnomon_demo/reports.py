"""Reports and analytics: what the desk makes of what it remembers."""

import time
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import func, select

import gnomon
from gnomon_demo.database import Database, Evaluation, Report, Tick
from gnomon_demo.quotes import Exchange
from gnomon_demo.symbols import SYMBOLS


async def analytics(database: Database, hours: float) -> dict[str, Any]:
    """Return each symbol's range and each model's scores in the last hours."""
    since = time.time() - 3600 * hours
    ranges = (
        select(
            Tick.symbol,
            func.count(),
            func.min(Tick.price),
            func.max(Tick.price),
            func.avg(Tick.price),
        )
        .where(Tick.at >= since)
        .group_by(Tick.symbol)
        .order_by(Tick.symbol)
    )
    scores = (
        select(Evaluation.model_id, Evaluation.metric, func.count(), func.avg(Evaluation.score))
        .where(Evaluation.at >= since)
        .group_by(Evaluation.model_id, Evaluation.metric)
        .order_by(Evaluation.model_id)
    )
    async with database.session() as session:
        symbols = [
            {"symbol": s, "ticks": n, "low": low, "high": high, "average": round(float(mean), 4)}
            for s, n, low, high, mean in await session.execute(ranges)
        ]
        models = [
            {"model": m, "metric": metric, "evaluations": n, "score": round(float(mean), 4)}
            for m, metric, n, mean in await session.execute(scores)
        ]
    return {"hours": hours, "symbols": symbols, "models": models}


async def write(database: Database, exchange: Exchange, title: str) -> dict[str, Any]:
    """Write a report of the last day: analytics, and which symbols moved together."""
    body = {**await analytics(database, 24), "together": await _together(exchange)}
    report = Report(title=title, body=body)
    async with database.session() as session:
        session.add(report)
        await session.commit()
    return as_dict(report)


async def newest(database: Database, limit: int = 20) -> list[dict[str, Any]]:
    """Return the newest reports without their bodies."""
    wanted = select(Report.id, Report.title, Report.at).order_by(Report.at.desc()).limit(limit)
    async with database.session() as session:
        return [{"id": i, "title": t, "at": at} for i, t, at in await session.execute(wanted)]


async def one(database: Database, number: int) -> dict[str, Any] | None:
    """Return a report, None if there is none of that number."""
    async with database.session() as session:
        report = await session.get(Report, number)
    return as_dict(report) if report is not None else None


def as_dict(report: Report) -> dict[str, Any]:
    """Return a report as JSON shall show it."""
    return {"id": report.id, "title": report.title, "at": report.at, "body": report.body}


async def _together(exchange: Exchange) -> list[dict[str, Any]]:
    """Return the three pairs of symbols that moved most alike, fewer where some are lacking."""
    asked = await gnomon.gather(
        [partial(exchange.history, symbol) for symbol in SYMBOLS],
        limit=4,
        timeout=10,
        name="histories",
    )
    got = {s: item.value for s, item in zip(SYMBOLS, asked, strict=True) if item.value is not None}
    if len(got) < 2:
        return []
    names = list(got)
    moves = np.corrcoef([np.diff(np.log(prices)) for prices in got.values()])
    pairs = sorted(
        ((float(moves[i, j]), names[i], names[j]) for j in range(len(names)) for i in range(j)),
        reverse=True,
    )
    return [{"symbols": [a, b], "correlation": round(r, 3)} for r, a, b in pairs[:3]]
