"""`/api/market/{symbol}`: price, technical analysis and news of a symbol, each cached."""

from typing import Any

from fastapi import APIRouter, Request

router = APIRouter(prefix="/api")


@router.get("/market/{symbol}")
async def show(symbol: str, request: Request) -> dict[str, Any]:
    """Return what is known of a symbol."""
    found: dict[str, Any] = await request.app.state.exchange.quote(symbol)
    return found
