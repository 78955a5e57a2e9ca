"""What surrounds every page: its head, the way to the others, light and dark."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui import app, ui

from gnomon_console.access import visitor

_STATIC = Path(__file__).parents[1] / "static"

#: The pages beside the dashboards: title, icon, address.
PLACES = (
    ("Dashboards", "dashboard", "/"),
    ("Map", "hub", "/map"),
    ("Alerts", "notifications", "/alerts"),
    ("SLOs", "verified", "/slos"),
    ("Traces", "account_tree", "/traces"),
    ("This machine", "dns", "/setup"),
)

#: Asks whether the session goes on when the connection does not; the login page leads back here.
_ENDED = """
addEventListener('load', () => window.socket && window.socket.on('connect_error', async () => {
  const known = await fetch('/login/known').catch(() => null);
  if (known && known.status === 401) location.reload();
}));
"""


def serve() -> None:
    """Serve the style and the script that the pages share."""
    app.add_static_files("/static", _STATIC)


@contextmanager
def page(title: str) -> Iterator[None]:
    """Build a page's frame around what is built within."""
    ui.page_title(f"{title} · Gnomon")
    # A stamp, so that nobody keeps yesterday's after an update.
    stamp = max(int(path.stat().st_mtime) for path in _STATIC.iterdir())
    ui.add_head_html(f'<link rel="stylesheet" href="/static/console.css?{stamp}">')
    ui.add_head_html(f'<script src="/static/console.js?{stamp}"></script>')
    ui.dark_mode(value=_dark())
    ui.colors(primary="#2a65c0")
    with ui.header(elevated=False).classes("items-center gap-2 px-3 py-1 bg-slate-800 min-h-0"):
        ui.link("Gnomon", "/").classes("text-white font-bold no-underline text-base")
        for place, icon, address in PLACES:
            # On a phone there is room for the icons alone.
            with ui.button(icon=icon).props(
                f'flat dense no-caps color=white size=sm href="{address}" aria-label="{place}"'
            ):
                ui.label(place).classes("gt-xs pl-1")
        ui.space()
        with (
            ui.button(icon="contrast")
            .props('flat dense round color=white size=sm aria-label="Light or dark"')
            .on("click", js_handler="() => gnomon.turn()")
        ):
            ui.tooltip("Light or dark")
        _leave()
    with ui.column().classes("w-full gap-2 p-2"):
        yield


def _leave() -> None:
    """Build the way out for whoever has logged in, and see to it that the page knows of the end."""
    who = visitor()
    if who.session is None:
        return
    with (
        ui.element("form").props('method="post" action="/logout"'),
        ui.button(icon="logout")
        .props("flat dense round color=white size=sm type=submit")
        .props(f'aria-label="Log out {who.name.replace(chr(34), chr(39))}"'),
    ):
        ui.tooltip(f"Log out {who.name}")
        ui.element("input").props(f'type="hidden" name="form" value="{who.session.form}"')
    ui.add_body_html(f"<script>{_ENDED}</script>")


def _dark() -> bool | None:
    """Return what this browser has chosen, None where that is the system's to say.

    A cookie of its own, so that no page is light first and dark a moment later.
    """
    chosen = ui.context.client.request.cookies.get("gnomon-dark", "")
    return {"yes": True, "no": False}.get(chosen)
