"""What happened, as lines over the graphs: alerts that fired, versions that were deployed."""

from typing import Any

from gnomon_dashboards import colours
from gnomon_dashboards.queries import DATASOURCE


def _events(
    name: str, expr: str, colour: str, title: str, text: str, *, on: bool = True
) -> dict[str, Any]:
    return {
        "datasource": DATASOURCE,
        "enable": on,
        "expr": expr,
        "hide": False,
        "iconColor": colour,
        "name": name,
        "step": "30s",
        "tagKeys": "",
        "textFormat": text,
        "titleFormat": title,
        "useValueForTime": False,
    }


def alerts(where: str = "") -> list[dict[str, Any]]:
    """Return when alerts began to fire: what is critical, and apart from it, what is a warning.

    Not how long they did, and warnings only once a viewer switches them on: a few of them beside
    each other would hide the graph. where: label matchers, for what the dashboard is about.
    """
    found = []
    for name, severity, colour in (
        ("Alerts", "critical", colours.BAD),
        ("Warnings", "warning", colours.WATCH),
    ):
        matchers = ", ".join(
            part for part in ('alertstate="firing"', f'severity="{severity}"', where) if part
        )
        firing = f"ALERTS{{{matchers}}}"
        found.append(
            _events(
                name,
                f"{firing} unless {firing} offset $__interval",
                colour,
                "{{alertname}}",
                "{{severity}} {{service}} {{instance}}",
                on=severity == "critical",
            )
        )
    return found


def deploys(where: str = "") -> dict[str, Any]:
    """Return the moments at which a version of a service appeared. where: label matchers.

    One that was there within the hour before was only started again.
    """
    there = f"target_info{{{where}}}"
    by = "by (service, service_version)"
    return _events(
        "Deploys",
        f"count {by} ({there}) unless count {by} (last_over_time({there}[1h] offset $__interval))",
        colours.PLAIN,
        "Deploy of {{service}}",
        "version {{service_version}}",
    )
