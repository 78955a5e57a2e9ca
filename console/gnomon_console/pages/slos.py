"""Objectives on a page of their own, and what to do about an alert that names one."""

from pathlib import Path

from fastapi import Request
from nicegui import ui

from gnomon_console.alerts.runbooks import section
from gnomon_console.boards import Board
from gnomon_console.pages.dashboard import DashboardPage
from gnomon_console.pages.frame import page


class SlosPage:
    """Shows the objectives as a dashboard is shown, and runbooks as pages."""

    def __init__(self, dashboards: DashboardPage, board: Board, root: Path) -> None:
        self._dashboards = dashboards
        self._board = board
        self._root = root

    def serve(self) -> None:
        """Put them at /slos and /runbooks/SUBJECT/ALERT."""
        ui.page("/slos")(self.build)
        ui.page("/runbooks/{subject}/{alert}")(self.runbook)

    async def build(self, request: Request) -> None:
        """Build the page of objectives."""
        await self._dashboards.show(self._board, request)

    def runbook(self, subject: str, alert: str) -> None:
        """Build the page of one alert's section of the runbooks."""
        with page(alert):
            text = section(self._root, f"docs/runbooks/{subject}.md#{alert.lower()}")
            if text:
                ui.markdown(text).classes("max-w-4xl")
            else:
                ui.label(f"No runbook of {subject} has a section {alert}.")
