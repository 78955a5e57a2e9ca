"""What a worker of the desk holds while it runs, and how a route gets at it."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from gnomon_demo.catalogue import Catalogue
from gnomon_demo.database import Database
from gnomon_demo.faults import Faults
from gnomon_demo.market import Market
from gnomon_demo.prices import Prices
from gnomon_demo.queueing import Transcriptions
from gnomon_demo.quotes import Exchange
from gnomon_demo.settings import Settings

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts of one worker."""

    settings: Settings
    database: Database
    exchange: Exchange
    catalogue: Catalogue
    market: Market
    prices: Prices
    transcriptions: Transcriptions
    faults: Faults


def _desk(connection: HTTPConnection) -> Desk:
    found: Desk = connection.app.state.desk
    return found


def there(found: _T | None, what: str) -> _T:
    """Return what was found. Where that is nothing, answer 404 and say what there is not."""
    if found is None:
        raise HTTPException(404, f"no {what}")
    return found


#: A route's parameter of this type is the worker that it runs in.
Here = Annotated[Desk, Depends(_desk)]
