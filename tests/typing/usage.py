"""Public use of resource measuring, for mypy --strict; nothing here is run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI

import gnomon

app = FastAPI()
gnomon.instrument(app, service="transcriber", usage=True)
transcribing = gnomon.measure(
    "transcribe", interval=0.5, log_dir=Path("out"), file_id="talk-1", gpu_absent=0
)


@app.post("/transcribe")
async def transcribe(
    usage: Annotated[gnomon.Usage, Depends(transcribing.dependency)],
) -> dict[str, float | None]:
    """Use the dependency."""
    usage.file_id = "talk-2"
    return usage.as_dict()


async def blocks() -> None:
    """Use both kinds of blocks."""
    async with gnomon.measure("transcribe") as usage:
        assert_type(usage, gnomon.Usage)
    with transcribing as other:
        assert_type(other.own.cpu_seconds, float | None)
        assert_type(other.own.concurrent, int)
        assert_type(other.as_dict(), dict[str, float | None])


@gnomon.measure("segments", file_id=lambda path: str(path.stem))
def segments(path: Path) -> list[float]:
    """Use the decorator."""
    current = gnomon.current_usage()
    return [] if current is None else [current.own.concurrent_avg, len(path.name)]


@transcribing
async def features(path: Path, *, rate: int = 16000) -> int:
    """Use the decorator on a coroutine."""
    return rate + len(path.name)


@transcribing
def lines(count: int) -> Iterator[str]:
    """Use the decorator on a generator."""
    yield "line" * count


@transcribing
async def parts(count: int) -> AsyncIterator[bytes]:
    """Use the decorator on an asynchronous generator."""
    yield b"part" * count


async def handed_on(pool: ThreadPoolExecutor) -> None:
    """Hand work to threads and tasks."""
    assert_type(segments(Path("x")), list[float])
    assert_type(await features(Path("x"), rate=8000), int)
    assert_type(await gnomon.to_thread(segments, Path("x")), list[float])
    assert_type(await asyncio.create_task(gnomon.counted(features(Path("x")))), int)
    assert_type(pool.submit(gnomon.counted(segments), Path("x")).result(), list[float])
    async for part in parts(3):
        assert_type(part, bytes)
