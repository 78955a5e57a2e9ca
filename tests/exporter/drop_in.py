"""Compare gnomon-exporter's page with node_exporter's, series by series."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, frozenset[tuple[str, str]]]

#: Families whose values cannot be the same, with the reason. Types and names must be.
UNEQUAL: Mapping[str, str] = {
    "node_exporter_build_info": "its labels describe node_exporter's own build",
    "node_scrape_collector_duration_seconds": "the duration of the scrape itself",
    "node_filefd_allocated": "each exporter has its own files open while it looks",
    "node_netstat_Tcp_CurrEstab": "each exporter has its own connections while it looks",
    "node_sockstat_TCP_alloc": "each exporter has its own connections while it looks",
    "node_sockstat_TCP_inuse": "each exporter has its own connections while it looks",
    "node_sockstat_sockets_used": "each exporter has its own sockets while it looks",
    "node_procs_running": "each exporter runs its own threads while it looks",
    "node_filesystem_readonly": "1.11 misses ro among several mount options; mended since",
    "node_disk_info": "theirs says rotational=0 where any file of the disk's queue is missing",
}

#: The version of node_exporter whose families and labels are ours.
MODEL = (1, 11)


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


def differences(
    before: Page, ours: Page, after: Page, version: tuple[int, int] = MODEL
) -> Iterator[str]:
    """Yield one line for each difference, names first.

    before, after: two scrapes of node_exporter around ours. A counter must lie between the
    two; any other value must be theirs where theirs did not move. Of a version before MODEL
    only what both have is compared: labels and families have come and gone since.
    """
    same = version >= MODEL
    for name, kind in after.types.items():
        if name not in ours.types:
            if same:
                yield f"{name}: family missing"
        elif ours.types[name] != kind:
            yield f"{name}: type {ours.types[name]}, theirs is {kind}"
    for key, last in after.values.items():
        name = key[0]
        if name in UNEQUAL or name not in ours.types or key not in before.values:
            continue
        if name == "node_scrape_collector_success" and not same:
            continue
        if key not in ours.values:
            if same:
                yield f"{_shown(key)}: series missing"
            continue
        first, mine = before.values[key], ours.values[key]
        low, high = min(first, last), max(first, last)
        slack = 1e-9 * max(abs(low), abs(high), 1)
        steady = ours.types[name] == "counter" or first == last
        if steady and not low - slack <= mine <= high + slack:
            yield f"{_shown(key)}: {mine}, theirs went from {first} to {last}"
    for key in ours.values:
        if same and key[0] in after.types and key[0] not in UNEQUAL and key not in after.values:
            yield f"{_shown(key)}: series that node_exporter does not have"


def subject(difference: str) -> str:
    """Return the series or family that a line of ``differences`` is about."""
    return difference.partition(": ")[0]


def _shown(key: Key) -> str:
    name, labels = key
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels)) + "}"
