"""What a browser asks for while a dashboard is open: the data of its panels, as JSON or CSV."""

import asyncio
import csv
import gzip
import io
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response

from gnomon_console import looks, view
from gnomon_console.boards import Board, Boards
from gnomon_console.panels.drawn import rows
from gnomon_console.prometheus import AskError, Prometheus
from gnomon_console.ranges import between

#: Answers that are kept for the next viewer, and the seconds for which they are.
_KEPT, _KEEP_S = 64, 5.0

_LONGEST_VALUE, _MOST_VALUES = 300, 100


def asked(board: Board, params: Mapping[str, Sequence[str]]) -> view.Asked:
    """Return what an address says of the time and of variables. Raise ValueError."""
    chosen = {
        name.removeprefix("var-"): [value[:_LONGEST_VALUE] for value in values[:_MOST_VALUES]]
        for name, values in params.items()
        if name.startswith("var-")
    }
    found = view.Asked(
        (params.get("from") or [board.since])[0], (params.get("to") or ["now"])[0], chosen
    )
    between(found.since, found.until)
    return found


def params_of(request: Request) -> dict[str, list[str]]:
    """Return the values of each parameter of an address."""
    return {key: request.query_params.getlist(key) for key in request.query_params}


class Data:
    """The answers to browsers. Whoever asks the same within seconds is given the same bytes."""

    def __init__(self, boards: Boards, prometheus: Prometheus) -> None:
        self._boards = boards
        self._prometheus = prometheus
        self._kept: dict[Any, tuple[float, asyncio.Task[tuple[bytes, bytes]]]] = {}
        self.router = APIRouter()
        self.router.get("/api/boards/{uid}/panels")(self.panels)
        self.router.get("/api/boards/{uid}/panels/{panel}.csv")(self.table)

    def _board(self, uid: str) -> Board:
        board = self._boards.get(uid)
        if board is None:
            raise HTTPException(404, f"there is no dashboard {uid}")
        return board

    async def panels(
        self, request: Request, uid: str, ids: Annotated[str, Query(max_length=2000)]
    ) -> Response:
        """Answer with what is drawn of each panel: ``{"panels": {id: …}}``."""
        board = self._board(uid)
        params = params_of(request)
        try:
            wanted = sorted({int(each) for each in ids.split(",") if each})
            question = asked(board, params)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        key = (
            uid,
            tuple(wanted),
            question.since,
            question.until,
            repr(sorted(question.chosen.items())),
        )
        now = time.monotonic()
        until, task = self._kept.get(key, (0.0, None))
        if task is None or until < now:
            self._kept = {k: kept for k, kept in self._kept.items() if kept[0] >= now}
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            task = asyncio.ensure_future(self._answer(board, wanted, question))
            self._kept[key] = (now + _KEEP_S, task)
        try:
            plain, packed = await asyncio.shield(task)
        except AskError as error:
            self._kept.pop(key, None)
            raise HTTPException(502, str(error)) from None
        headers = {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            plain = packed
        return Response(plain, media_type="application/json", headers=headers)

    async def _answer(
        self, board: Board, ids: Sequence[int], question: view.Asked
    ) -> tuple[bytes, bytes]:
        seen = await view.sight(board, question, self._prometheus)
        drawn = await view.panels(board, ids, seen, self._prometheus)
        body = orjson.dumps({"panels": drawn}, option=orjson.OPT_NON_STR_KEYS)
        return body, gzip.compress(body, 1)

    async def table(self, request: Request, uid: str, panel: int) -> Response:
        """Answer with a panel's data as CSV: a table's rows, or a line for each time."""
        board = self._board(uid)
        if panel not in board.panels:
            raise HTTPException(404, f"dashboard {uid} has no panel {panel}")
        try:
            question = asked(board, params_of(request))
            seen = await view.sight(board, question, self._prometheus)
            given = await view.answered(board.panels[panel], seen, self._prometheus)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        except AskError as error:
            raise HTTPException(502, str(error)) from None
        text = io.StringIO()
        writer = csv.writer(text)
        if given.panel.kind == "table":
            found = [row for frame in rows(given) for row in frame]
            names = list(dict.fromkeys(key for row in found for key in row))
            writer.writerow(names)
            writer.writerows([[_safe(row.get(name, "")) for name in names] for row in found])
        else:
            writer.writerow(["time", "series", "value"])
            writer.writerows(
                [moment, _safe(looks.name(series, target.legend, target.expr)), value]
                for target, found in given.answers
                for series in found
                for moment, value in series.points
            )
        return Response(
            text.getvalue(),
            media_type="text/csv; charset=utf-8",
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment; filename="{uid}-{panel}.csv"',
            },
        )


def _safe(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@"} else value
