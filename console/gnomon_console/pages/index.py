"""The first page: every dashboard with whose question it answers."""

from nicegui import ui

from gnomon_console.boards import Boards
from gnomon_console.pages.frame import page
from gnomon_console.pages.setup import gist
from gnomon_console.setup.look import Setup


class IndexPage:
    """Builds the list of dashboards."""

    def __init__(self, boards: Boards, setup: Setup) -> None:
        self._boards = boards
        self._setup = setup

    def serve(self) -> None:
        """Put it at /."""
        ui.page("/")(self.build)

    async def build(self) -> None:
        """Build it."""
        with page("Dashboards"):
            await gist(self._setup)
            with ui.element("div").classes(
                "grid w-full gap-2 grid-cols-1 sm:grid-cols-2 lg:grid-cols-3 xl:grid-cols-4"
            ):
                for board in self._boards.all().values():
                    with (
                        ui.link(target=f"/d/{board.uid}").classes("no-underline text-inherit"),
                        ui.card().classes("h-full gap-1 hover:shadow-lg"),
                    ):
                        ui.label(board.title).classes("text-base font-semibold")
                        ui.label(board.purpose).classes("text-sm text-gray-500")
