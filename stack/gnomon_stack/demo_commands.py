"""`gnomon demo`: make something go wrong in the running demo, and see what gnomon says of it."""

import json
import urllib.error
import urllib.request
from typing import Any

import click
from rich.console import Console

from gnomon_stack import lock, table
from gnomon_stack.home import Home
from gnomon_stack.parts import DEMO, url
from gnomon_stack.trouble import Trouble

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PATIENCE_S = 5.0


@click.group()
def demo() -> None:
    """Act on the demo that `gnomon up` runs."""


@demo.command()
@click.argument("name", required=False)
@click.option("--seconds", type=float, default=300.0, show_default=True, help="Its time.")
@click.option("--end", is_flag=True, help="End it before its time.")
@click.pass_obj
def fault(here: Home, name: str | None, seconds: float, *, end: bool) -> None:
    """Start a fault; it ends by itself. Without NAME, list what there is."""
    port = _port(here)
    if name is None:
        shown = table.plain("fault", "left", "what it does", whole=("fault", "left"))
        for one, what in _ask(port, "GET", "/faults").items():
            left = "" if what["left"] is None else f"{what['left']:.0f} s"
            shown.add_row(one, left, what["does"])
        Console(highlight=False).print(shown)
    elif end:
        _ask(port, "DELETE", f"/faults/{name}")
        click.echo(f"{name} has ended.")
    else:
        begun = _ask(port, "POST", f"/faults/{name}?seconds={seconds:g}")
        click.echo(f"{name} for {begun['left']:g} s: {begun['does']}.")


def _port(here: Home) -> int:
    """Return where the demo answers; raise Trouble where none runs."""
    running = lock.running(here.lock)
    if running is None:
        raise Trouble("no stack runs here: start it with `make up` in another terminal")
    if DEMO.name not in running.ports:
        raise Trouble("the running stack has no demo: see what `make up` said about it")
    return running.ports[DEMO.name]


def _ask(port: int, method: str, path: str) -> Any:
    """Return what the desk answers; raise Trouble with what it says where that is no success."""
    request = urllib.request.Request(url(port) + path, method=method)  # noqa: S310  # on loopback
    try:
        with _DIRECT.open(request, timeout=_PATIENCE_S) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise Trouble(_reason(error)) from None
    except OSError as error:
        raise Trouble(f"the demo does not answer at {url(port)}: {error}") from None


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the desk's own words for a refusal."""
    try:
        detail = json.loads(error.read())["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the demo answers {error.code}"
    return detail if isinstance(detail, str) else str(detail[0]["msg"])
