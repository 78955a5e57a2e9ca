"""Ways from one dashboard to another; the time on show and what was chosen go along."""

from typing import Any

#: Every dashboard has it: the list of them all is found by it.
TAG = "gnomon"

ALL: dict[str, Any] = {
    "asDropdown": True,
    "icon": "external link",
    "includeVars": True,
    "keepTime": True,
    "tags": [TAG],
    "targetBlank": False,
    "title": "Dashboards",
    "tooltip": "",
    "type": "dashboards",
    "url": "",
}


def uid(subject: str) -> str:
    """Return the fixed name by which addresses know a dashboard."""
    return f"gnomon-{subject}"


def to(subject: str, title: str, **chosen: str) -> dict[str, Any]:
    """Return a link from a value to a dashboard.

    subject: the dashboard's. chosen: variables there, with what they shall be, mostly a label of
    the value: ``service="${__field.labels.service}"`` on a graph, ``"${__data.fields.service}"`` in
    a table.
    """
    address = f"/d/{uid(subject)}?${{__url_time_range}}&${{datasource:queryparam}}"
    given = "".join(f"&var-{name}={value}" for name, value in chosen.items())
    return {"targetBlank": False, "title": title, "url": address + given}


def label(name: str) -> str:
    """Return the label of the series that is clicked on a graph, for ``to``."""
    return f"${{__field.labels.{name}}}"


def column(name: str) -> str:
    """Return the cell of the row that is clicked in a table, for ``to``."""
    return f'${{__data.fields["{name}"]}}'
