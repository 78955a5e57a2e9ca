"""`gnomon target`: add, list and remove what Prometheus scrapes besides the stack itself."""

import json
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

import click
from rich.console import Console

from gnomon_stack import lock, loopback, targets
from gnomon_stack.home import Home
from gnomon_stack.parts import PROMETHEUS, url
from gnomon_stack.table import plain


@click.group()
def target() -> None:
    """Say which applications Prometheus scrapes; it notices within ten seconds, unrestarted."""


@target.command()
@click.argument("name")
@click.argument("url")
@click.option("--service", metavar="S", help="Its `service` label; the target's name if not given.")
@click.option("labels", "--label", metavar="NAME=VALUE", multiple=True, help="One more label.")
@click.option("--replace", is_flag=True, help="Write a target anew that is there already.")
@click.pass_obj
def add(
    here: Home, *, name: str, url: str, service: str | None, labels: tuple[str, ...], replace: bool
) -> None:
    """Scrape URL, for instance http://127.0.0.1:8000/metrics, as target NAME."""
    wanted = targets.parse(name, url, service, labels)
    path = targets.add(here.targets, wanted, replace=replace)
    click.echo(f"{path.relative_to(here.root)}: {wanted.urls[0]} with service={wanted.service}")
    if (prometheus := _prometheus(here)) is None:
        click.echo("No stack runs here now; `make up` will scrape it.")
    else:
        click.echo(f"Scraped within seconds; `gnomon target list` or {prometheus} shows how it is.")


@target.command(name="list")
@click.option("as_json", "--json", is_flag=True, help="For programs: a list of objects.")
@click.pass_obj
def list_(here: Home, as_json: bool) -> None:
    """Show the targets and, while the stack runs, whether they answer."""
    found, unreadable = targets.load(here.targets)
    health = _health(here)
    rows = [
        {**asdict(one), "service": one.service, "urls": one.urls, "health": health.get(one.name)}
        for one in found
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not found:
        click.echo("No targets. `gnomon target add NAME http://HOST:PORT/metrics` adds one.")
    else:
        table = plain("target", "service", "health", "labels", "address", whole=("target",))
        for one in found:
            labels = ", ".join(f"{key}={value}" for key, value in one.visible.items())
            table.add_row(
                one.name,
                one.service,
                health.get(one.name, "not known"),
                labels,
                "\n".join(one.urls),
            )
        Console(highlight=False, markup=False).print(table)
    for line in unreadable:
        click.echo(f"gnomon: {line}", err=True)


@target.command()
@click.argument("name")
@click.pass_obj
def remove(here: Home, name: str) -> None:
    """Scrape target NAME no longer. Its past stays in Prometheus."""
    targets.remove(here.targets, name)
    click.echo(f"{name} is no target any more.")


def _prometheus(here: Home) -> str | None:
    """Return the running stack's Prometheus, or None where no stack runs."""
    running = lock.running(here.lock)
    return None if running is None else url(running.ports[PROMETHEUS.name])


def _health(here: Home) -> dict[str, str]:
    """Return, for each target file, what the running Prometheus says of it: `up`, or why not."""
    running = lock.running(here.lock)
    if running is None:
        return {}
    port = running.ports[PROMETHEUS.name]
    active: Any = loopback.data(port, "/api/v1/targets", state="active") or {"activeTargets": []}
    health = {}
    for one in active["activeTargets"]:
        if one["scrapePool"] == targets.JOB:
            file = PurePath(one["discoveredLabels"]["__meta_filepath"])
            health[file.stem] = one["health"] + (f": {one['lastError']}" * bool(one["lastError"]))
    return health
