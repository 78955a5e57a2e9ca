"""The pages: prices and faults at `/`, recordings and what they took at `/performance`."""

import time
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.templating import Jinja2Templates

from gnomon_demo import batches, faults, reports
from gnomon_demo.state import Here, there

router = APIRouter(include_in_schema=False)

_templates = Jinja2Templates(Path(__file__).parents[1] / "templates")


def _number(value: object, digits: int = 1) -> str:
    """Write a number as a table shows it; a dash for what is not known, or not there at all."""
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "\N{EN DASH}"


def _ago(at: float) -> str:
    seconds = max(0, time.time() - at)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


_templates.env.filters.update(number=_number, ago=_ago)


@router.get("/")
async def home(request: Request, desk: Here) -> Response:
    """Show prices as they move, the newest reports, and the faults."""
    return _page(
        request,
        "home.html",
        symbols=await desk.market.recent(),
        models=await desk.catalogue.models(None),
        reports=await reports.newest(desk.database, 5),
        faults=faults.FAULTS,
    )


@router.get("/performance")
async def performance(request: Request, desk: Here) -> Response:
    """Show batches and recordings, and take new ones."""
    return _page(
        request,
        "performance.html",
        batches=await batches.newest(desk.database),
        singles=await batches.singles(desk.database),
    )


@router.get("/performance/batches/{batch}")
async def batch(request: Request, desk: Here, batch: str) -> Response:
    """Show a batch: its summary, and each of its recordings with the eight numbers."""
    found = await batches.one(desk.database, desk.settings.transcripts, batch)
    return _page(request, "batch.html", found=there(found, f"batch {batch}"))


@router.get("/performance/files/{recording}")
async def recording(request: Request, desk: Here, recording: str) -> Response:
    """Show a recording: its transcript, the eight numbers, and what was its own."""
    found = await batches.recording(desk.database, desk.settings.transcripts, recording)
    return _page(request, "file.html", found=there(found, f"recording {recording}"))


@router.get("/reports/{number}")
async def report(request: Request, desk: Here, number: int) -> Response:
    """Show a report."""
    found = await reports.one(desk.database, number)
    return _page(request, "report.html", report=there(found, f"report {number}"))


def _page(request: Request, template: str, **values: Any) -> Response:
    return _templates.TemplateResponse(request, template, values)
