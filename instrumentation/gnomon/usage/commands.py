"""``gnomon usage``: what pieces of work left in their files, as tables or JSON."""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gnomon.usage.documents import Document, Unreadable, load, paths
from gnomon.usage.files import SUFFIX
from gnomon.usage.piece import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Where nobody looks (a file, a pipe), nothing is cut to a width.
_WIDTH_OF_FILES = 200

#: Head of the column of each number, and how many digits it is shown with.
_COLUMNS = {
    "processing_time_sec": ("seconds", 2),
    "own.cpu_seconds": ("own CPU s", 2),
    "cpu_percent_avg": ("CPU %", 0),
    "cpu_percent_max": ("max", 0),
    "ram_mb_avg": ("RAM MiB", 0),
    "ram_mb_peak": ("peak", 0),
    "gpu_vram_mb_current": ("VRAM MiB", 0),
    "gpu_vram_mb_peak": ("peak", 0),
    "gpu_percent": ("GPU %", 0),
}

#: The numbers of which a folder has a sum.
_ADDED = ("processing_time_sec", "own.cpu_seconds")

_UNKNOWN = "–"  # noqa: RUF001  # a dash: nothing is known


@click.group()
def usage() -> None:
    """Show what measured pieces of work used, from the files that they left.

    These are the files that gnomon.measure(..., log_dir=...) writes. All numbers of CPU, RAM and
    GPU are the whole process's, except "own CPU".
    """


@usage.command()
@click.argument("path", type=click.Path(exists=True))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def show(path: str, *, as_json: bool) -> None:
    """Show one file's numbers, or those of each file in a folder."""
    if os.path.isdir(path):
        documents = _folder(path)
        if as_json:
            _print_json([document.as_dict() for document in documents])
        else:
            _console().print(_batch(documents))
        return
    try:
        document = load(path)
    except (OSError, Unreadable) as error:
        raise click.ClickException(f"{path}: {_reason(error)}") from None
    if as_json:
        _print_json(document.as_dict())
    else:
        _console().print(_one(document))


@usage.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def summary(folder: str, *, as_json: bool) -> None:
    """Summarise the files of a folder, by the name of the work."""
    documents = _folder(folder)
    works: dict[str, list[Document]] = {}
    for document in documents:
        works.setdefault(document.name, []).append(document)
    if as_json:
        _print_json(
            [
                {
                    "name": name or None,
                    "files": len(group),
                    "failed": sum(bool(document.error_type) for document in group),
                    "numbers": _figures(group),
                }
                for name, group in sorted(works.items())
            ]
        )
        return
    for name, group in sorted(works.items()):
        _console().print(_summary(name, group))


def _folder(folder: str) -> list[Document]:
    """Return what the readable files say, and complain about the others."""
    documents = []
    try:
        found = paths(folder)
    except OSError as error:
        raise click.ClickException(f"{folder}: {_reason(error)}") from None
    for path in found:
        try:
            documents.append(load(path))
        except (OSError, Unreadable) as error:
            name = json.dumps(os.path.basename(path))
            click.echo(f"gnomon: left out {name}: {_reason(error)}", err=True)
    if not documents:
        raise click.ClickException(f"{folder}: no file here that ends in {SUFFIX} can be read")
    return documents


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _values(document: Document) -> dict[str, float | None]:
    return {**document.numbers, **{f"own.{key}": value for key, value in document.own.items()}}


def _one(document: Document) -> Table:
    table = _table(Text(document.file_id), "")
    rows: dict[str, Any] = {
        "work": document.name,
        "finished": document.finished_at,
        "ended with": document.error_type,
    }
    for head, text in rows.items():
        if text:
            table.add_row(head, Text(text))
    for key, value in _values(document).items():
        table.add_row(key, _UNKNOWN if value is None else f"{value:g}")
    return table


def _batch(documents: Sequence[Document]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    for head, _ in _COLUMNS.values():
        table.add_column(head, justify="right")
    failed = any(document.error_type for document in documents)
    if failed:
        table.add_column("ended with", overflow="fold")
    for document in documents:
        values = _values(document)
        cells = [_cell(values.get(key), digits) for key, (_, digits) in _COLUMNS.items()]
        error = [Text(document.error_type)] if failed else []
        table.add_row(Text(document.file_id), *cells, *error)
    return table


def _summary(name: str, documents: Sequence[Document]) -> Table:
    failed = sum(bool(document.error_type) for document in documents)
    head = f"{name or 'files'}: {len(documents)}" + (f", {failed} failed" if failed else "")
    table = _table(Text(head), "known", "mean", "median", "95 %", "largest", "sum")
    for key, figures in _figures(documents).items():
        if figures is None:
            table.add_row(key, "0", *[_UNKNOWN] * 5)
            continue
        values = (figures.get(which) for which in ("mean", "median", "p95", "max", "sum"))
        table.add_row(key, str(figures["known"]), *(_cell(value, 2) for value in values))
    return table


def _figures(documents: Sequence[Document]) -> dict[str, dict[str, Any] | None]:
    """Return what the files' numbers come to; None for one that no file knows."""
    keys = (*KEYS, "own.cpu_seconds", "own.ram_added_mb")
    return {key: _figure(key, (_values(document)[key] for document in documents)) for key in keys}


def _figure(key: str, values: Iterable[float | None]) -> dict[str, Any] | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    figures = {
        "known": len(known),
        "mean": statistics.fmean(known),
        "median": statistics.median(known),
        # The smallest that at least 95 % do not exceed.
        "p95": known[-(-95 * len(known) // 100) - 1],
        "max": known[-1],
    }
    # Percents and sizes of one process after another have no sum.
    return figures | {"sum": math.fsum(known)} if key in _ADDED else figures


def _cell(value: float | None, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:,.{digits}f}"


def _table(head: Text, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(head, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _console() -> Console:
    width = None if sys.stdout.isatty() else _WIDTH_OF_FILES
    return Console(highlight=False, width=width)


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2))
