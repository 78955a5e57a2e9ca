"""What a timed function, and a hit in a cache, cost beside functools, cachetools and cashews.

CPU time of this process for one call of a function that does nothing, the least of several
rounds, in which all take turns. cashews, which is asynchronous only, is fetched into a temporary
folder by pip; the table says if that could not be.

Run by ``make bench``. The exit status is 1 for a figure over its budget.
"""

import argparse
import asyncio
import functools
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from time import process_time

import cachetools
from rich.console import Console
from rich.table import Table

import gnomon

TIMED_MICROSECONDS = 2.5
HIT_MICROSECONDS = 2.0


def nothing(x: int) -> int:
    """Return what it is given."""
    return x


async def nothing_async(x: int) -> int:
    """Return what it is given."""
    return x


def _functions() -> dict[str, Callable[[int], object]]:
    return {
        "a function": nothing,
        "functools.lru_cache": functools.lru_cache(maxsize=128)(nothing),
        "gnomon.timed": gnomon.timed("bench")(nothing),
        "gnomon.cached": gnomon.cached("bench lru", maxsize=128)(nothing),
        "gnomon.cached, ttl": gnomon.cached("bench ttl", maxsize=128, ttl=3600)(nothing),
        "cachetools LRUCache, lock": cachetools.cached(
            cachetools.LRUCache(128), lock=threading.Lock()
        )(nothing),
        "cachetools TTLCache, lock, info": cachetools.cached(
            cachetools.TTLCache(128, 3600), lock=threading.Lock(), info=True
        )(nothing),
    }


def _coroutine_functions(folder: str) -> tuple[dict[str, Callable[[int], Awaitable[object]]], str]:
    """Return what is to be awaited, and why cashews is not among it."""
    found: dict[str, Callable[[int], Awaitable[object]]] = {
        "a coroutine function": nothing_async,
        "gnomon.timed, async": gnomon.timed("bench async")(nothing_async),
        "gnomon.cached, async, ttl": gnomon.cached("bench async", maxsize=128, ttl=3600)(
            nothing_async
        ),
    }
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    fetched = subprocess.run(
        [*words, "--target", folder, "cashews"], capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        return found, fetched.stderr.strip().splitlines()[-1] if fetched.stderr else "pip failed"
    sys.path.append(folder)
    from cashews import Cache  # noqa: PLC0415  # it came just now

    cache = Cache()
    cache.setup("mem://")
    found["cashews, memory"] = cache(ttl="1h", key="bench:{x}")(nothing_async)
    return found, ""


def _cost(function: Callable[[int], object], number: int) -> float:
    """Return the microseconds of CPU that one call takes."""
    loop = range(number)
    began = process_time()
    for _ in loop:
        function(1)
    return (process_time() - began) / number * 1e6


async def _cost_async(function: Callable[[int], Awaitable[object]], number: int) -> float:
    loop = range(number)
    began = process_time()
    for _ in loop:
        await function(1)
    return (process_time() - began) / number * 1e6


def main() -> int:
    """Measure, print a table, and return 1 when a figure is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=50_000)
    options = parser.parse_args()
    console = Console()
    costs: dict[str, list[float]] = {}
    functions = _functions()
    with tempfile.TemporaryDirectory() as folder:
        coroutine_functions, why = _coroutine_functions(folder)

        async def run() -> None:
            for name, function in coroutine_functions.items():
                costs.setdefault(name, []).append(await _cost_async(function, options.calls))

        for _ in range(options.rounds):
            for name, function in functions.items():
                costs.setdefault(name, []).append(_cost(function, options.calls))
            asyncio.run(run())
    least = {name: min(found) for name, found in costs.items()}
    table = Table("", "CPU µs/call", "more than the function", "more than lru_cache's hit")
    for name, cost in least.items():
        if name == "a coroutine function":
            table.add_section()
        plain = least["a coroutine function" if name in coroutine_functions else "a function"]
        hit = least["functools.lru_cache"]
        table.add_row(name, f"{cost:.2f}", f"{cost - plain:.2f}", f"{cost - hit:.2f}")
    console.print(table)
    if why:
        console.print(f"not measured: cashews: {why}")
    is_over = False
    for what, cost, budget in (
        ("timed", least["gnomon.timed"] - least["a function"], TIMED_MICROSECONDS),
        *(
            (f"hit of {name}", least[name] - least["functools.lru_cache"], HIT_MICROSECONDS)
            for name in ("gnomon.cached", "gnomon.cached, ttl")
        ),
    ):
        over = cost > budget
        console.print(f"{what}: {cost:.2f} µs, budget {budget}", style="red" if over else None)
        is_over = is_over or over
    return int(is_over)


if __name__ == "__main__":
    sys.exit(main())
