"""The map on a page of its own: who calls what."""

from fastapi import Request
from nicegui import ui

from gnomon_console.boards import Board
from gnomon_console.pages.dashboard import DashboardPage


class MapPage:
    """Shows the map as a dashboard of one subject is shown."""

    def __init__(self, dashboards: DashboardPage, board: Board) -> None:
        self._dashboards = dashboards
        self._board = board

    def serve(self) -> None:
        """Put it at /map."""
        ui.page("/map")(self.build)

    async def build(self, request: Request) -> None:
        """Build it."""
        await self._dashboards.show(self._board, request)
