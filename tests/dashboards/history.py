"""Five weeks that never were, as blocks for Prometheus: what rules and graphs of days look back at.

Each series continues into what is live: it has the same labels, and ends near the same value. The
shapes are fixed: more by day than by night and on weekends, limits that are slowly approached,
budgets that are used up, a failure every few days.
"""

import json
import math
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import rulebook

DAY_S = 86_400
#: Between two samples: less than the five minutes for which one counts as current.
STEP_S = 280
#: Between those of long parts of the past, at full minutes: graphs over so long a time, and rules
#: that go through them by the hour, ask for no others.
_THIN_S, _LONG_S = 600, 2 * DAY_S
WHOLE_S = 35 * DAY_S
#: What looks back no further than this has seen enough once the servers have run a while.
_SHORT_S = 1800

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY_S, "w": 7 * DAY_S}
_WINDOW = re.compile(r"\[((?:\d+[smhdw])+)(?::\w*)?\]")
_OFFSET = re.compile(r"\boffset\s+((?:\d+[smhdw])+)")

#: What exists only after days: the recordings whose series it will have, and how it compares.
_LATER = {
    "anomaly:baseline:median3w": ("anomaly:level:last5m", 1.0),
    "anomaly:band:lower": ("anomaly:level:last5m", 0.6),
    "anomaly:band:upper": ("anomaly:level:last5m", 1.4),
    "anomaly:width:max": ("anomaly:level:last5m", 0.4),
    "cost:total:median4w": ("cost:total:per_hour", 1.0),
    "cost:total:month_forecast": ("cost:total:per_hour", 730.0),
    "cost:total:month_to_date": ("cost:total:per_hour", 1.0),
    "instance:cost_gpu_idle:per_day": ("instance:cost:per_hour", 6.0),
    "instance:node_memory_available:predict24h": ("instance:node_memory_available:bytes", 0.95),
    "instance_mountpoint:node_filesystem_avail:predict24h": (
        "instance_mountpoint:node_filesystem_avail:ratio",
        0.97,
    ),
    "resource:saturation:avg1h": ("resource:saturation:ratio", 0.95),
    "resource:saturation:avg1d": ("resource:saturation:ratio", 0.9),
    "resource:saturation:max1d": ("resource:saturation:ratio", 1.0),
    "resource:saturation:predict14d": ("resource:saturation:ratio", 1.1),
    "service:anomalies:count": ("service:signals:count", 1.0),
    "service:http_requests:avg1h": ("service:http_requests:rate5m", 1.0),
    "service:http_requests:avg1w": ("service:http_requests:rate5m", 1.0),
    "service:http_requests:growth7d": ("service:http_requests:rate5m", 1.0),
    "service:http_requests:peak_predict7d": ("service:http_requests:rate5m", 1.6),
    "service:http_requests:predict7d": ("service:http_requests:rate5m", 1.1),
}

#: What is looked for in place of the metric itself: signals that are too weak in the first minutes.
_EARLY = {
    "anomaly:level:last5m": " or ".join(
        (
            "anomaly:level:last5m",
            *(
                f'label_replace({level}, "anomaly_name", "{name}", "", "")'
                for name, level in (
                    ("latency", "service:http_latency_seconds:p95_5m"),
                    ("error_ratio", "service:http_errors:ratio_rate5m"),
                    ("hit_ratio", "service_cache:cache_hits:ratio_rate2m"),
                )
            ),
        )
    )
}

#: What is counted begins anew with the servers: its past would be no continuation. Alerts, too.
_FRESH = re.compile(r"^[^:]*_(total|count|sum|bucket)$|^ALERTS")
#: What is always the same, and read only now.
_CONSTANT = re.compile(r"threshold:.*|slo:.*:(enabled|count|days)|slo:(objective|error_budget):.*")

#: What is this or that, and not a little more or less.
_STATE = re.compile(r"(.*_)?(up|success|successful|status_code|http_version)")

#: A part of the past, in seconds ago: since when, until when.
Past = tuple[int, int]

#: So much more than what is asked for: rules look while time goes on.
_MORE_S = 3600

Ask = Callable[[str], list[dict[str, Any]]]


def seconds(text: str) -> int:
    """Return a duration as PromQL writes it, in seconds."""
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([smhdw])", text))


def looks_back(expr: str, span_s: int = 0) -> list[Past]:
    """Return when an expression looks at, if it is drawn over a time.

    Windows within windows add up; each offset is looked at by itself, and the present, too.
    """
    length = sum(seconds(text) for text in _WINDOW.findall(expr)) + span_s
    offsets = {0, *(seconds(text) for text in _OFFSET.findall(expr))}
    times = [(min(offset + length, WHOLE_S), offset) for offset in offsets]
    # The moment itself, too: around it samples are not thin.
    return times + [(offset + _MORE_S, offset) for offset in offsets]


def reach(graphs: Sequence[tuple[str, int]] = ()) -> dict[str, set[Past]]:
    """Return the metrics that are asked about the past, and about when.

    graphs: expressions besides those of the rules, with the seconds that each is drawn over.
    """
    found: dict[str, set[Past]] = {}
    for expr, span_s in [*((rule.expr, 0) for rule in rulebook.EVERY), *graphs]:
        past = looks_back(expr, span_s)
        is_long = max(looks_back(expr))[0] > _MORE_S or max(past)[0] > _MORE_S + _SHORT_S
        for name in rulebook.metrics(expr) if is_long else ():
            found.setdefault(name, set()).update(past)
    drawn = {name for expr, span_s in graphs if span_s for name in rulebook.metrics(expr)}
    return {
        name: past
        for name, past in found.items()
        if not _FRESH.search(name) and (name in drawn or not _CONSTANT.fullmatch(name))
    }


def _times(past: Iterable[Past], now: int) -> list[int]:
    """Return when there are samples, in order."""
    found: set[int] = set()
    for wanted, offset in past:
        far, near = wanted + _MORE_S, max(offset - _MORE_S, 0)
        dense = far
        if far - near > _LONG_S:
            dense = max(_LONG_S, near)
            found |= set(range((now - far) // _THIN_S * _THIN_S, now - dense, _THIN_S))
        found |= set(range(now - dense, now - near, STEP_S))
    return sorted(found)


@cache
def busy(at: float) -> float:
    """Return how busy people are at a time, from 0 to 1: most in the afternoon."""
    moment = datetime.fromtimestamp(at, UTC)
    hour = moment.hour + moment.minute / 60
    day = 0.5 - 0.5 * math.cos(2 * math.pi * (hour - 4) / 24)
    return (0.35 + 0.65 * day) * (0.65 if moment.weekday() >= 5 else 1.0)


@cache
def _wave(at: float) -> float:
    """Return a little that never repeats, around 0."""
    return 0.03 * math.sin(at / 1700) + 0.02 * math.sin(at / 410)


def _growing(at: float, now: float) -> float:
    return 1 - 0.25 * (now - at) / WHOLE_S + 0.02 * busy(at) - 0.02 * busy(now)


def _failing(at: float, now: float) -> float:
    """Return 1 for an hour, one and a half and four days ago."""
    hours = (now - at) / 3600
    return float(36 <= hours < 37 or 96 <= hours < 97)


def _bad(at: float, now: float) -> float:
    """Return how fast a budget burns: half as fast as it may, but for an hour every nine days."""
    return 0.4 * busy(at) + (8.0 if (now - at) % (9 * DAY_S) < 3600 else 0.0)


def _value(name: str, live: float, at: float, now: float) -> float:
    """Return a series' value at a time, from its name and its value now; NaN where it has none."""
    if _CONSTANT.fullmatch(name) or _STATE.fullmatch(name):
        return live
    match name:
        case "service:failing:bool":
            return _failing(at, now)
        case "cost:month:number":
            return float(datetime.fromtimestamp(at, UTC).month)
        case "cost:total:month_to_date":
            moment = datetime.fromtimestamp(at, UTC)
            return live * (24 * (moment.day - 1) + moment.hour + moment.minute / 60)
        case "service:http_requests:growth7d":
            return 1.1 + _wave(at)
        case "service:anomalies:count":
            return 1.0 if at // 3600 % 37 < 2 else math.nan
        case "slo:period_error_budget_remaining:ratio":
            return 0.75 - 0.3 * (1 - (now - at) / WHOLE_S) + 0.05 * busy(at)
        case "slo:current_burn_rate:ratio":
            return _bad(at, now)
    if "cost" in name:
        return live * (1 + _wave(at) / 3)
    if "saturation" in name or name.endswith("utilisation:ratio"):
        return min(live, 1) * _growing(at, now)
    if re.search("request|traffic|depth|rate|vitals|job", name):
        return live * busy(at) / busy(now) * (1 + _wave(at))
    return live * (1 + _wave(at))


def _series(ask: Ask, name: str) -> list[tuple[dict[str, str], float]]:
    source, factor = _LATER.get(name, (name, 1.0))
    found = []
    for one in ask(_EARLY.get(source, source)):
        labels = {key: text for key, text in one["metric"].items() if key != "__name__"}
        value = float(one["value"][1])
        if math.isfinite(value):
            found.append((labels, value * factor))
    return found


def _objectives(ask: Ask) -> dict[str, tuple[float, float]]:
    """Return the events a second of each objective, and its budget."""
    totals = {one["metric"]["sloth_id"]: one for one in ask("slo:sli_total:rate5m")}
    return {
        one["metric"]["sloth_id"]: (
            float(totals[one["metric"]["sloth_id"]]["value"][1]),
            float(one["value"][1]),
        )
        for one in ask("slo:error_budget:ratio")
        if one["metric"]["sloth_id"] in totals
    }


def _written(name: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(
        f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in labels.items()
    )
    return f"{name}{{{pairs}}}"


def write(
    ask: Ask, names: Mapping[str, set[Past]], folder: Path, promtool: list[str], age_s: float
) -> tuple[int, int]:
    """Write blocks into a folder; return how many series and how many samples.

    ask: what the running Prometheus answers. names: from ``reach``. age_s: for how long it has run,
    for what it says of five minutes is too little before.
    """
    now = int(time.time()) // 60 * 60 - 60
    objectives = _objectives(ask)
    series = samples = 0
    text = folder / "history.om"
    folder.mkdir(parents=True, exist_ok=True)
    with text.open("w") as file:
        for name, past in sorted(names.items()):
            times = _times(past, now)
            for labels, seen in _series(ask, name):
                is_rate = "rate5m" in name or "requests" in name or "traffic" in labels.values()
                young = is_rate and "ratio" not in name and age_s < 300
                live = seen * 300 / age_s if young else seen
                traffic, budget = objectives.get(labels.get("sloth_id", ""), (0.0, 0.0))
                if name == "slo:sli_bad:rate5m":
                    height = traffic * budget * 300 / min(age_s, 300)
                    values = [height * _bad(at, now) * busy(at) / busy(now) for at in times]
                elif name.startswith("slo:sli_error:ratio"):
                    values = [budget * _bad(at, now) for at in times]
                else:
                    # One service does more than it ever did, so that something is unusual.
                    usual = 0.3 if name.startswith("anomaly:") and "shop" in labels.values() else 1
                    values = [_value(name, live * usual, at, now) for at in times]
                one = _written(name, labels)
                found = [
                    pair for pair in zip(values, times, strict=True) if not math.isnan(pair[0])
                ]
                file.writelines(f"{one} {value:.6g} {at}\n" for value, at in found)
                series += 1
                samples += len(found)
        file.write("# EOF\n")
    words = [*promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    words += ["--max-block-duration=2000h", str(text), str(folder / "blocks")]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=300)
    text.unlink()
    return series, samples
