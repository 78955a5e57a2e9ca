"""Batches of recordings, as pages and the API show them: each file, and the sum of all."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import case, func, select

from gnomon_demo.database import Database, Moment, Recording

#: The eight numbers of a recording: what the process used while it was transcribed. The GPU's are
#: null on a machine without one.
NUMBERS = (
    "processing_time_sec",
    "cpu_percent_avg",
    "cpu_percent_max",
    "ram_mb_avg",
    "ram_mb_peak",
    "gpu_vram_mb_current",
    "gpu_vram_mb_peak",
    "gpu_percent",
)

#: Of these the largest stands for a batch; of the time the sum, of the others the mean.
_PEAKS = {"cpu_percent_max", "ram_mb_peak", "gpu_vram_mb_peak"}


async def newest(database: Database, limit: int = 15) -> list[dict[str, Any]]:
    """Return the newest batches: how many recordings each has, and how far they are."""
    done = func.sum(case((Recording.state == "done", 1), else_=0))
    failed = func.sum(case((Recording.state == "failed", 1), else_=0))
    wanted = (
        select(
            Recording.batch,
            func.min(Recording.at),
            func.count(),
            done,
            failed,
            func.sum(Recording.seconds),
            func.min(Recording.priority),
        )
        .where(Recording.batch != "")
        .group_by(Recording.batch)
        .order_by(func.min(Recording.at).desc())
        .limit(limit)
    )
    async with database.session() as session:
        names = ("batch", "at", "files", "done", "failed", "seconds", "priority")
        return [dict(zip(names, row, strict=True)) for row in await session.execute(wanted)]


async def singles(database: Database, limit: int = 15) -> list[dict[str, Any]]:
    """Return the newest recordings that were transcribed while their sender waited."""
    wanted = select(Recording).where(Recording.batch == "").order_by(Recording.at.desc())
    async with database.session() as session:
        return [as_dict(row) for row in await session.scalars(wanted.limit(limit))]


async def one(database: Database, folder: Path, batch: str) -> dict[str, Any] | None:
    """Return a batch with its recordings and its summary; None if there is none of that id."""
    wanted = select(Recording).where(Recording.batch == batch).order_by(Recording.at, Recording.id)
    async with database.session() as session:
        rows = list(await session.scalars(wanted))
    if not rows or not batch:
        return None
    files = [{**as_dict(row), "performance": performance(folder, row.id)} for row in rows]
    return {"batch": batch, "files": files, "summary": summary(files)}


async def recording(database: Database, folder: Path, number: str) -> dict[str, Any] | None:
    """Return a recording with its transcript and what it took; None if there is none of that id."""
    async with database.session() as session:
        row = await session.get(Recording, number)
        moment = await session.get(Moment, number)
    if row is None:
        return None
    text = None
    with suppress(OSError):
        text = (folder / f"{row.id}.txt").read_text()
    return {
        **as_dict(row),
        "text": text,
        "performance": performance(folder, row.id),
        "market": moment.prices if moment is not None else None,
    }


def performance(folder: Path, number: str) -> dict[str, Any] | None:
    """Return what `gnomon.measure` wrote about a recording; None as long as it has not."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{number}.performance.json").read_text())
    except (OSError, ValueError):
        return None
    return found


def summary(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the eight numbers of a batch, and how long its recordings are altogether."""
    measured = [file["performance"] for file in files if file["performance"]]
    found: dict[str, Any] = {}
    for number in NUMBERS:
        values = [one[number] for one in measured if one[number] is not None]
        if not values:
            found[number] = None
        elif number == "processing_time_sec":
            found[number] = round(sum(values), 3)
        elif number in _PEAKS:
            found[number] = max(values)
        else:
            found[number] = round(sum(values) / len(values), 2)
    states = [file["state"] for file in files]
    return {
        "files": len(files),
        "done": states.count("done"),
        "failed": states.count("failed"),
        "seconds": round(sum(file["seconds"] or 0 for file in files), 3),
        **found,
    }


def as_dict(row: Recording) -> dict[str, Any]:
    """Return a recording as JSON shall show it."""
    return {
        "id": row.id,
        "name": row.name,
        "batch": row.batch or None,
        "state": row.state,
        "priority": row.priority,
        "tries": row.tries,
        "seconds": row.seconds,
        "segments": row.segments,
        "error": row.error,
        "at": row.at,
    }
