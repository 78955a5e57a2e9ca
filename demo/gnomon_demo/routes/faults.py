"""`/faults`: make something go wrong on purpose, and what it does to requests."""

import asyncio
import random
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from gnomon_demo import faults
from gnomon_demo.state import Here

#: How long a request waits while the fault `slow` is under way, in seconds.
SLOW_S = (0.6, 1.4)

#: The share of requests that fail while the fault `errors` is under way.
FAILING = 0.33

_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class Broken(Exception):  # noqa: N818  # it says what was asked for
    """The fault `errors`, as an application's own mistake would look."""


def _from_here(request: Request) -> None:
    """Let in who sits at this machine, and no page of the web that their browser shows."""
    client = request.client.host if request.client else ""
    host = request.headers.get("host", "").rpartition(":")
    name = host[0] if host[2].isdecimal() else request.headers.get("host", "")
    if (
        client not in {"127.0.0.1", "::1"}
        or name not in _NAMES
        or any(header in request.headers for header in _FORWARDED)
        or request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}
    ):
        raise HTTPException(403, "faults are for whoever sits at this machine")


router = APIRouter(prefix="/faults", dependencies=[Depends(_from_here)], tags=["faults"])


@router.get("")
async def under_way(desk: Here) -> dict[str, Any]:
    """Return what each fault does, and how many seconds it has left (null: not under way)."""
    left = faults.under_way(desk.settings.faults)
    return {name: {"does": does, "left": left.get(name)} for name, does in faults.FAULTS.items()}


@router.post("/{name}", status_code=202)
async def begin(
    desk: Here, name: str, seconds: Annotated[float, Query(gt=0, le=faults.LONGEST_S)] = 300
) -> dict[str, Any]:
    """Start a fault in all workers; it ends by itself."""
    try:
        faults.begin(desk.settings.faults, name, seconds)
    except KeyError:
        known = ", ".join(faults.FAULTS)
        raise HTTPException(404, f"no fault {name}: there are {known}") from None
    return {"fault": name, "does": faults.FAULTS[name], "left": seconds}


@router.delete("/{name}", status_code=204)
async def end(desk: Here, name: str) -> None:
    """End a fault before its time."""
    if name not in faults.FAULTS:
        raise HTTPException(404, f"no fault {name}")
    faults.end(desk.settings.faults, name)


async def as_asked(desk: Here) -> None:
    """Be slow, or fail, while that is asked for: every API request depends on it."""
    if "slow" in desk.faults:
        await asyncio.sleep(random.uniform(*SLOW_S))
    if "errors" in desk.faults and random.random() < FAILING:
        raise Broken("the fault `errors` is under way")
