"""Recordings out of service level objectives; what is the same for all stands in rules/slo.yml.

Each objective gives the rates of its bad and of all events, and its terms as constants, all with
one set of labels. So every rule that looks at objectives looks at all of them at once.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from gnomon_stack.slo_spec import Events, Notice, Objective, read

SOURCE = Path("prometheus/slo")
TARGET = Path("prometheus/rules/slo-objectives.yml")

_HEAD = """\
# Made by `make rules` from prometheus/slo/. Edit those files, not this one.
#
# Each objective's events and terms; what is made of them for all objectives stands in slo.yml.

"""

#: The rules of slo.yml that tell of an objective, from which one of its own is made where its file
#: gives the alert a name, labels or words.
PAGE, TICKET = "SLOFastBurn", "SLOSlowBurn"


def known_buckets() -> dict[str, Sequence[float]]:
    """Return the bounds of the library's histograms by name."""
    from gnomon import requests  # noqa: PLC0415  # what no other command needs

    names = (
        "http_server_request_duration_seconds",
        "http_client_request_duration_seconds",
        "gnomon_http_response_start_seconds",
    )
    return dict.fromkeys(names, requests.SECONDS)


def rules(root: Path) -> str:
    """Return the rule file for the objectives below a checkout. Raises ConfigError."""
    objectives = read(root / SOURCE, known_buckets())
    common = yaml.safe_load((root / "prometheus/rules/slo.yml").read_text())["groups"]
    alerts = {rule["alert"]: rule for group in common for rule in group["rules"] if "alert" in rule}
    groups = [
        {
            "name": "slo-events",
            "interval": "30s",
            "rules": [rule for objective in objectives for rule in _events(objective)],
        },
        {
            "name": "slo-terms",
            "interval": "1m",
            "rules": [rule for objective in objectives for rule in _terms(objective)],
        },
        {
            "name": "slo-periods",
            # A month's ratio hardly moves in five minutes, and asks for thousands of samples.
            "interval": "5m",
            "rules": [_periods(sorted({o.days for o in objectives}))] if objectives else [],
        },
        {
            "name": "slo-own-alerts",
            "rules": [rule for objective in objectives for rule in _own(objective, alerts)],
        },
    ]
    made = {"groups": [group for group in groups if group["rules"]]}
    return _HEAD + yaml.dump(made, Dumper=_Dumper, sort_keys=False, width=1000)


def _labels(objective: Objective) -> dict[str, str]:
    return {
        **objective.labels,
        "service": objective.service,
        "sloth_id": objective.id,
        "sloth_service": objective.service,
        "sloth_slo": objective.name,
    }


def _events(objective: Objective) -> Iterator[dict[str, Any]]:
    labels = _labels(objective)
    sli = objective.sli
    if isinstance(sli, Events):
        total = _summed(Events.over(sli.total, "5m"))
        # Nobody has failed yet: then there is no such series, which is none, not unknown.
        bad = f"{_summed(Events.over(sli.bad, '5m'))}\n  or 0 * {total}"
    else:
        ratio = _summed(Events.over(sli.ratio, "5m"))
        bad = f"{ratio} >= 0"  # not a number is not measured
        total = f"{ratio} >= bool 0"
    yield _record("slo:sli_total:rate5m", total, labels)
    yield _record("slo:sli_bad:rate5m", bad, labels)


def _summed(query: str) -> str:
    """Return a query with one series at most, whatever labels it has."""
    return query if query.startswith("sum(") and query.count("sum(") == 1 else f"sum({query})"


def _terms(objective: Objective) -> Iterator[dict[str, Any]]:
    labels = _labels(objective)
    for name, value in (
        ("slo:objective:ratio", objective.objective),
        ("slo:error_budget:ratio", objective.budget),
        ("slo:time_period:days", objective.days),
        ("slo:min_bad_events:count", objective.min_bad_events),
    ):
        yield _record(name, f"vector({_number(value)})", labels)
    # Whether the alerts of slo.yml are meant for it: not if they are off, or it has its own.
    if objective.page.enabled and not _is_own(objective.page, PAGE):
        yield _record("slo:page:enabled", "vector(1)", labels)
    if objective.ticket.enabled and not _is_own(objective.ticket, TICKET):
        yield _record("slo:ticket:enabled", "vector(1)", labels)
    about = {
        "sloth_objective": f"{objective.objective * 100:g}",
        "sloth_description": objective.description.strip(),
    }
    yield _record("sloth_slo_info", "vector(1)", {**labels, **about})


def _periods(days: Sequence[int]) -> dict[str, Any]:
    """Return one rule for all lengths of period that there are."""
    parts = [
        f"sum_over_time(slo:sli_bad:rate5m[{n}d])\n"
        f"  / (sum_over_time(slo:sli_total:rate5m[{n}d]) > 0)\n"
        "  / slo:error_budget:ratio\n"
        f"  and slo:time_period:days == {n}"
        for n in days
    ]
    return {"record": "slo:period_burn_rate:ratio", "expr": "\nor\n".join(parts)}


def _is_own(notice: Notice, name: str) -> bool:
    return bool(notice.name != name or notice.labels or notice.annotations)


def _own(objective: Objective, alerts: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the alerts that an objective's file names, labels or words itself."""
    for notice, name in ((objective.page, PAGE), (objective.ticket, TICKET)):
        if not notice.enabled or not _is_own(notice, name):
            continue
        alert = alerts[name]
        kind = "page" if name == PAGE else "ticket"
        expr = alert["expr"].replace(f"slo:{kind}:enabled", "slo:objective:ratio").strip()
        yield {
            **alert,
            "alert": notice.name,
            "expr": f'({expr})\nand on (sloth_id) slo:objective:ratio{{sloth_id="{objective.id}"}}',
            "labels": {**alert["labels"], "sloth_severity": kind, **notice.labels},
            "annotations": {**alert["annotations"], **notice.annotations},
        }


def _record(name: str, expr: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"record": name, "expr": expr, "labels": labels}


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as blocks, and what is the same twice in full."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML asks for each value
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
