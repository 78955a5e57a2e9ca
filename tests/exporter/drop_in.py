"""Compare gnomon-exporter's page with node_exporter's, series by series."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, frozenset[tuple[str, str]]]

#: Series of node_exporter that cannot be the same by their nature, with the reason.
EXPECTED: Mapping[str, str] = {
    "node_exporter_build_info": "its labels describe node_exporter's own build",
    "node_scrape_collector_duration_seconds": "a duration of the scrape itself",
}


@dataclass(frozen=True)
class Page:
    """Types by family and values by series of one scrape."""

    types: Mapping[str, str]
    values: Mapping[Key, float]


def read(text: str) -> Page:
    """Parse a classic page, keeping the ``node_*`` families."""
    types = {
        line.split()[2]: line.split()[3]
        for line in text.splitlines()
        if line.startswith("# TYPE node_")
    }
    values = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("node_")
    }
    return Page(types, values)


def differences(before: Page, ours: Page, after: Page) -> Iterator[str]:
    """Yield one line for each difference, names first.

    before, after: two scrapes of node_exporter around ours. A counter must lie between the
    two; any other value must be theirs where theirs did not move.
    """
    for name, kind in after.types.items():
        if name not in ours.types:
            yield f"{name}: family missing"
        elif ours.types[name] != kind:
            yield f"{name}: type {ours.types[name]}, theirs is {kind}"
    for key, last in after.values.items():
        name, labels = key
        if name in EXPECTED or name not in ours.types or key not in before.values:
            continue
        shown = name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels)) + "}"
        if key not in ours.values:
            yield f"{shown}: series missing"
            continue
        first, mine = before.values[key], ours.values[key]
        low, high = min(first, last), max(first, last)
        slack = 1e-9 * max(abs(low), abs(high), 1)
        steady = ours.types[name] == "counter" or first == last
        if steady and not low - slack <= mine <= high + slack:
            yield f"{shown}: {mine}, theirs went from {first} to {last}"
    for key in ours.values:
        name, labels = key
        if name in after.types and name not in EXPECTED and key not in after.values:
            shown = name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels)) + "}"
            yield f"{shown}: series that node_exporter does not have"
