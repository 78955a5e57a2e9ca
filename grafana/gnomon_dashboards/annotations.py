"""What happened, as lines over the graphs: alerts that fired, versions that were deployed."""

from typing import Any

from gnomon_dashboards import colours
from gnomon_dashboards.queries import DATASOURCE


def _events(name: str, expr: str, colour: str, title: str, text: str) -> dict[str, Any]:
    return {
        "datasource": DATASOURCE,
        "enable": True,
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


def alerts(where: str = "") -> dict[str, Any]:
    """Return the alerts that fired. where: label matchers, for what the dashboard is about."""
    matchers = ", ".join(
        part for part in ('alertstate="firing"', 'severity=~"critical|warning"', where) if part
    )
    return _events(
        "Alerts",
        f"ALERTS{{{matchers}}}",
        colours.BAD,
        "{{alertname}}",
        "{{severity}} {{service}} {{instance}}",
    )


def deploys(where: str = "") -> dict[str, Any]:
    """Return the moments at which a version of a service appeared. where: label matchers."""
    versions = f"count by (service, service_version) (target_info{{{where}}})"
    return _events(
        "Deploys",
        f"{versions} unless {versions.replace('})', '} offset 2m)')}",
        colours.PLAIN,
        "Deploy of {{service}}",
        "version {{service_version}}",
    )
