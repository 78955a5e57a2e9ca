"""`/api`: models, evaluations, reports, analytics, the market."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, Field

from gnomon_demo import limiting, reports
from gnomon_demo.catalogue import NoModel
from gnomon_demo.market import NotTraded
from gnomon_demo.routes.faults import as_asked
from gnomon_demo.state import Here, there

router = APIRouter(
    prefix="/api", dependencies=[Depends(limiting.allowed), Depends(as_asked)], tags=["api"]
)


class NewEvaluation(BaseModel):
    """How well a model did, from 0 to 1."""

    model: str = Field(max_length=40)
    metric: str = Field(pattern="^[a-z_]{1,20}$")
    score: float = Field(ge=0, le=1)


class NewReport(BaseModel):
    """A report that is wanted."""

    title: str = Field(min_length=1, max_length=120)


@router.get("/models")
async def models(desk: Here, kind: str | None = None) -> list[dict[str, Any]]:
    """Return all models, or those of a kind, with their mean scores; up to a minute old."""
    found: list[dict[str, Any]] = await desk.catalogue.models(kind)
    return found


@router.get("/models/{model}")
async def model(desk: Here, model: str) -> dict[str, Any]:
    """Return one model with its newest evaluations."""
    for one in await desk.catalogue.models(None):
        if one["id"] == model:
            return {**one, "newest": await desk.catalogue.evaluations(model, 10)}
    raise HTTPException(404, f"no model {model}")


@router.get("/evaluations")
async def evaluations(
    desk: Here, model: str | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[dict[str, Any]]:
    """Return the newest evaluations."""
    return await desk.catalogue.evaluations(model, limit)


@router.post("/evaluations", status_code=201)
async def evaluate(desk: Here, new: NewEvaluation) -> NewEvaluation:
    """Write an evaluation down."""
    try:
        await desk.catalogue.evaluate(new.model, new.metric, new.score)
    except NoModel:
        raise HTTPException(404, f"no model {new.model}") from None
    return new


@router.get("/reports")
async def newest_reports(desk: Here) -> list[dict[str, Any]]:
    """Return the newest reports, without what they say."""
    return await reports.newest(desk.database)


@router.post("/reports", status_code=201)
async def report_now(desk: Here, new: NewReport) -> dict[str, Any]:
    """Write a report now, and return it."""
    return await reports.write(desk.database, desk.exchange, new.title)


@router.get("/reports/{number}")
async def report(desk: Here, number: int) -> dict[str, Any]:
    """Return a report."""
    return there(await reports.one(desk.database, number), f"report {number}")


@router.get("/analytics")
async def analytics(desk: Here, hours: Annotated[float, Query(gt=0, le=168)] = 1) -> dict[str, Any]:
    """Return ranges of prices and scores of models in the last hours."""
    return await reports.analytics(desk.database, hours)


@router.get("/market/{symbol}")
async def market(desk: Here, symbol: str) -> dict[str, Any]:
    """Return price, technical analysis and headlines of a symbol."""
    try:
        return await desk.market.show(symbol)
    except NotTraded:
        raise HTTPException(404, f"no symbol {symbol}") from None
