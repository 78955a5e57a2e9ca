"""The tables that the command prints."""

from collections.abc import Mapping

from rich import box
from rich.table import Table

from gnomon_stack.parts import Part, url


def plain(*columns: str, whole: tuple[str, ...] = ()) -> Table:
    """Return a table without frames; in a narrow terminal all columns but ``whole`` are folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column in whole, overflow="fold")
    return table


def addresses(ports: Mapping[Part, int], states: Mapping[Part, str]) -> Table:
    """Return the parts with their addresses and states, in the order the data flows."""
    table = plain("part", "address", "state", "what you see there", whole=("part", "address"))
    for part, port in ports.items():
        table.add_row(part.name, url(port), states[part], part.shows)
    return table
