"""Paging, faults and out-of-memory kills, from /proc/vmstat."""

from collections.abc import Iterator

from gnomon_exporter.families import UntypedMetricFamily
from gnomon_exporter.filters import compiled
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read


class VmstatCollector:
    """Paging, page faults and OOM kills.

    Untyped, for the kernel does not tell which are counters.

    fields: regular expression of the fields to report, found anywhere in a field's name.
    """

    def __init__(self, paths: Paths, *, fields: str = "^(oom_kill|pgpg|pswp|pg.*fault).*") -> None:
        self._path = paths.proc("vmstat")
        self._fields = compiled("fields", fields)
        # Names do not change while the kernel runs: each meets the expression once.
        self._reported: dict[str, bool] = {}

    def collect(self) -> Iterator[UntypedMetricFamily]:
        """Yield one family for each chosen field."""
        for line in read(self._path).splitlines():
            field, _, value = line.partition(" ")
            reported = self._reported.get(field)
            if reported is None:
                reported = self._fields.search(field) is not None
                self._reported[field] = reported
            if reported:
                yield UntypedMetricFamily(
                    f"node_vmstat_{field}", f"Field {field} of /proc/vmstat.", int(value)
                )
