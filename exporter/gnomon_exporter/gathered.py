"""Families whose number and names show only while a subject is read."""

from collections.abc import Iterable

from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily

Family = GaugeMetricFamily | CounterMetricFamily


class Gathered:
    """Families in the order of their first series.

    prefix: what every name begins with, such as ``node_hwmon_``.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._families: dict[str, Family] = {}

    def add(self, name: str, documentation: str, value: float | None, **labels: str) -> None:
        """Add a series, to a counter if its name ends in ``_total``; None adds nothing.

        All series of a name have the same labels in the same order.
        """
        if value is None:
            return
        family = self._families.get(name)
        if family is None:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(self._prefix + name, documentation, labels=tuple(labels))
            self._families[name] = family
        family.add_metric(tuple(labels.values()), value)

    def families(self) -> Iterable[Family]:
        """Return the families."""
        return self._families.values()
