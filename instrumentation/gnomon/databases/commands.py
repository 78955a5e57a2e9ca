"""``gnomon queries``: slow queries, the slowest first, from files, an application or Prometheus."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gnomon.access import is_private
from gnomon.databases import kept

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds that an answer may take.
PATIENCE = 10.0

# Where nobody looks (a file, a pipe), nothing is cut to a width.
_WIDTH_OF_FILES = 200

_UNKNOWN = "–"  # noqa: RUF001  # a dash: nothing is known

_DURATION = "db_client_operation_duration_seconds"
_BY = "db_system_name, db_namespace, db_query_summary"


class _NotThere(Exception):  # noqa: N818  # another kind of server may be
    """This address does not answer what was asked."""


@click.command()
@click.argument("source", required=False)
@click.option("--limit", default=20, show_default=True, help="Print so many at most.")
@click.option(
    "--by",
    type=click.Choice(["longest", "mean", "total", "count"]),
    default="longest",
    show_default=True,
    help="What comes first; of Prometheus, longest is the 95th percentile.",
)
@click.option("--plan", is_flag=True, help="Print each query's plan below the table.")
@click.option(
    "--since", default="1h", show_default=True, help="How far back to look, of Prometheus."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def queries(
    source: str | None, *, limit: int, by: str, plan: bool, since: str, as_json: bool
) -> None:
    """Show the slow queries of watched engines, the slowest first.

    SOURCE is an application's address, as http://127.0.0.1:8000, which tells of slow queries by
    shape, with plans and missing indexes; or Prometheus', which tells of all queries by summary.
    Without one, it is what this user's processes on this machine have written down. An application
    that wants a token for its metrics finds it in GNOMON_METRICS_TOKEN.
    """
    if not re.fullmatch(r"([0-9]+(ms|[smhdwy]))+", since):
        raise click.BadParameter(
            f"{since!r} is no duration, as 30m or 1d are", param_hint="--since"
        )
    console = Console(
        highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_FILES, soft_wrap=False
    )
    if source is None:
        told = kept.merged(kept.read())
        nothing = f"No process of this user has written down a slow query (in {kept.folder()})."
    else:
        if urlsplit(source).scheme not in ("http", "https"):
            raise click.BadParameter(f"{source!r} is no address, as http://127.0.0.1:8000 is")
        nothing = f"{source} knows of no slow query."
        try:
            told = _of_application(source.rstrip("/"))
        except _NotThere:
            try:
                found = _of_prometheus(source.rstrip("/"), since)
            except _NotThere as why:
                raise click.ClickException(
                    f"{source} is neither an application that gnomon measures nor Prometheus: {why}"
                ) from None
            _show_summaries(console, found, limit, by, since, as_json=as_json)
            return
    listed = sorted(told["queries"], key=_KEYS[by], reverse=True)[:limit]
    if as_json:
        click.echo(json.dumps({**told, "queries": listed}, indent=2))
        return
    if not listed and not told["unused_indexes"]:
        click.echo(nothing)
        return
    _show(console, listed, plan=plan)
    if told["unused_indexes"]:
        table = _table("unused index", "table", "pool")
        for index in told["unused_indexes"]:
            table.add_row(*(_safe(index[key]) for key in ("index", "table", "pool")))
        console.print(table)


_KEYS: Mapping[str, Any] = {
    "longest": lambda query: query["longest_seconds"],
    "mean": lambda query: query["total_seconds"] / max(1, query["count"]),
    "total": lambda query: query["total_seconds"],
    "count": lambda query: query["count"],
}


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _show(console: Console, listed: list[dict[str, Any]], *, plan: bool) -> None:
    table = _table("id", "longest", "mean", "slow", "last", "pool", "query", "no index on")
    for column in table.columns[1:4]:
        column.justify = "right"
    for query in listed:
        table.add_row(
            _safe(query["id"]),
            _seconds(query["longest_seconds"]),
            _seconds(query["total_seconds"] / max(1, query["count"])),
            f"{query['count']}×",  # noqa: RUF001  # times
            _ago(query["last_timestamp_seconds"]),
            _safe(query["pool"]),
            _safe(query["shape"]),
            _safe(
                ", ".join(f"{each['table']}.{each['column']}" for each in query["missing_indexes"])
            ),
        )
    console.print(table)
    if not plan:
        return
    for query in listed:
        trace = f", trace {query['trace_id']}" if query["trace_id"] else ""
        console.print(_safe(f"{query['id']} ({query['system']}{trace})"))
        if query["plan"]:
            for line in query["plan"]:
                console.print(_safe(f"    {line}"))
        else:
            why = query["no_plan_because"] or "it was not asked for: watch_engine(…, explain=True)"
            console.print(_safe(f"    no plan: {why}"))


def _show_summaries(
    console: Console,
    found: list[dict[str, Any]],
    limit: int,
    by: str,
    since: str,
    *,
    as_json: bool,
) -> None:
    key = {"longest": "p95_seconds", "mean": "mean_seconds", "total": "total_seconds"}.get(by, by)
    listed = sorted(found, key=lambda each: each[key] or 0.0, reverse=True)[:limit]
    if as_json:
        click.echo(json.dumps({"since": since, "summaries": listed}, indent=2))
        return
    if not listed:
        click.echo(f"Prometheus knows of no query in the last {since}.")
        return
    table = _table("95 %", "mean", "runs", "slow", "database", "query")
    for column in table.columns[:4]:
        column.justify = "right"
    for each in listed:
        table.add_row(
            _seconds(each["p95_seconds"]),
            _seconds(each["mean_seconds"]),
            f"{each['count']:.0f}",
            f"{each['slow']:.0f}" if each["slow"] is not None else _UNKNOWN,
            _safe(f"{each['system']} {each['database']}"),
            _safe(each["summary"]),
        )
    console.print(table)


def _of_application(address: str) -> dict[str, Any]:
    """Return what an application tells; raise _NotThere if none is there that does."""
    if not address.endswith("/queries"):
        address += "/queries" if address.endswith("/metrics") else "/metrics/queries"
    told = _fetched(address, token=True)
    if not isinstance(told, dict) or "queries" not in told:
        raise _NotThere("its answer is not of slow queries")
    return told


def _of_prometheus(address: str, since: str) -> list[dict[str, Any]]:
    """Return what Prometheus knows of queries by summary."""

    def ask(expression: str) -> dict[tuple[str, ...], float]:
        told = _fetched(f"{address}/api/v1/query?{urlencode({'query': expression})}")
        try:
            return {
                tuple(
                    each["metric"].get(label, "")
                    for label in ("db_system_name", "db_namespace", "db_query_summary")
                ): float(each["value"][1])
                for each in told["data"]["result"]
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _NotThere("its answer is not Prometheus'") from None

    count = ask(f"sum by ({_BY}) (increase({_DURATION}_count[{since}])) > 0")
    total = ask(f"sum by ({_BY}) (increase({_DURATION}_sum[{since}]))")
    high = ask(f"histogram_quantile(0.95, sum by (le, {_BY}) (rate({_DURATION}_bucket[{since}])))")
    slow = ask(f"sum by (db_query_summary) (increase(gnomon_db_slow_queries_total[{since}]))")
    return [
        {
            "system": key[0],
            "database": key[1],
            "summary": key[2],
            "count": runs,
            "total_seconds": total.get(key, 0.0),
            "mean_seconds": total.get(key, 0.0) / runs,
            "p95_seconds": high[key] if high.get(key, float("nan")) >= 0 else None,
            "slow": slow.get(("", "", key[2])),
        }
        for key, runs in count.items()
    ]


def _fetched(address: str, *, token: bool = False) -> Any:
    """Return the JSON at an address; raise _NotThere without any, ClickException if refused."""
    request = urllib.request.Request(address, headers={"accept": "application/json"})  # noqa: S310  # http or https: checked
    secret = os.environ.get("GNOMON_METRICS_TOKEN")
    if token and secret:
        request.add_header("authorization", f"Bearer {secret}")
    host = urlsplit(address).hostname or ""
    direct = host == "localhost" or is_private(host)
    handlers = [urllib.request.ProxyHandler({})] if direct else []
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read(kept.LARGEST))
    except urllib.error.HTTPError as error:
        with error:
            if error.code in (401, 403):
                raise click.ClickException(
                    f"{address} refuses ({error.code}): set GNOMON_METRICS_TOKEN to the"
                    " application's token, or ask from its own machine"
                ) from None
        raise _NotThere(f"{address} answers {error.code}") from None
    except ValueError:
        raise _NotThere(f"{address} answers no JSON") from None
    except OSError as error:
        raise click.ClickException(f"{address} does not answer: {error}") from None


def _seconds(value: float | None) -> str:
    return f"{value:.3f} s" if value is not None else _UNKNOWN


def _ago(timestamp: float) -> str:
    """Return how long ago something was, in its largest unit."""
    seconds = max(0.0, time.time() - timestamp)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _safe(value: Any) -> Text:
    """Return text as it is, without what a terminal would obey."""
    return Text("".join(sign if sign.isprintable() else "?" for sign in str(value)))
