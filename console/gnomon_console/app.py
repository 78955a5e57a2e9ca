"""The console's application: its pages, what their scripts ask for, and its own metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from nicegui import Client, ui

import gnomon
from gnomon_console import guard
from gnomon_console.access import who
from gnomon_console.access.door import Door, Doorkeeper, MetricsDoor, open_changes
from gnomon_console.access.login import Login
from gnomon_console.access.sessions import Session
from gnomon_console.alerts.alertmanager import Alertmanager
from gnomon_console.alerts.database import Database, backend
from gnomon_console.alerts.history import History
from gnomon_console.alerts.watch import Watch
from gnomon_console.api import Data
from gnomon_console.boards import Boards
from gnomon_console.map.board import board as map_board
from gnomon_console.pages import frame
from gnomon_console.pages.alerts import AlertsPage
from gnomon_console.pages.dashboard import DashboardPage
from gnomon_console.pages.index import IndexPage
from gnomon_console.pages.map import MapPage
from gnomon_console.pages.setup import SetupPage
from gnomon_console.pages.slos import SlosPage
from gnomon_console.pages.traces import TracesPage
from gnomon_console.prometheus import Prometheus
from gnomon_console.settings import Settings
from gnomon_console.setup.look import Setup
from gnomon_console.slos.board import board as slos_board
from gnomon_console.traces.receiver import Receiver
from gnomon_console.traces.store import Store
from gnomon_exporter.webfile import WebFile


async def _well() -> dict[str, str]:
    """Say that the console answers."""
    return {"status": "ok"}


def _forget(session: Session) -> None:
    """Let go of the pages of a session that has ended: whoever comes next gets none of them."""
    for client in list(Client.instances.values()):
        if who.session_of(client.request.scope) is session:
            if client.has_socket_connection:
                client.delete()
            else:
                client.remove_all_elements()


def make(settings: Settings, web: WebFile | None = None) -> FastAPI:
    """Return the application. web: who may use it; by default everybody who can reach it.

    Raises ConfigError where there is no such file.
    """
    door = Door(
        web or WebFile(settings.web_config),
        open_changes=open_changes(settings),
        port=settings.port,
        gone=_forget,
    )
    prometheus = Prometheus(settings.prometheus)
    the_map, slos = map_board(), slos_board()
    boards = Boards(settings.dashboards, own=(the_map, slos))

    alertmanager = Alertmanager(settings.alertmanager)
    history = History(Database(backend(settings.database, settings.data / "alerts.db")))
    watch = Watch(alertmanager, prometheus, history)
    # Where there is a Jaeger, it has the traces.
    store = None if settings.jaeger else Store(settings.data / "traces.db")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(each) for each in (watch.run(), door.watch())]
        yield
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        door.close()
        history.close()
        await alertmanager.close()
        await prometheus.close()
        if store:
            store.close()

    app = FastAPI(
        title="Gnomon", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.get("/healthz", include_in_schema=False)(_well)
    app.include_router(Data(boards, prometheus).router)
    if store:
        app.include_router(Receiver(store).router)
    app.include_router(Login(door).router)
    app.add_middleware(Doorkeeper, door=door)
    guard.add(app, settings, any_name=door.asks, headers=door.web.config().headers)
    # A span of each request that brings spans would bring another.
    gnomon.instrument(app, service="gnomon-console", exclude=("/metrics", "/healthz", "/v1/"))
    instrumented = app.build_middleware_stack
    app.build_middleware_stack = lambda: MetricsDoor(instrumented(), door)  # type: ignore[method-assign]
    frame.serve()
    setup = Setup(settings, prometheus)
    IndexPage(boards, setup).serve()
    SetupPage(setup).serve()
    trace = f"{settings.jaeger}/trace/{{}}" if settings.jaeger else "/traces/{}"
    AlertsPage(watch, settings.root).serve()
    dashboards = DashboardPage(boards, prometheus, trace)
    dashboards.serve()
    MapPage(dashboards, the_map).serve()
    SlosPage(dashboards, slos, settings.root).serve()
    if store:
        TracesPage(store).serve()
    ui.run_with(
        app,
        title="Gnomon",
        language="en-US",
        dark=None,
        show_welcome_message=False,
        # Nothing here is bound to a value that changes by itself.
        binding_refresh_interval=None,
        reconnect_timeout=30,
        message_history_length=0,
    )
    return app
