"""Maker, model and firmware of the machine, from /sys/class/dmi/id."""

from collections.abc import Iterator, Mapping

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute

_LABELS = (
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
    "system_vendor",
)


class DmiCollector:
    """Make, model and firmware of the machine."""

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.sys("class/dmi/id")
        # The firmware hands the table over at boot: it is read once.
        self._identity: Mapping[str, str] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one series with a label for each field that can be read.

        Serial numbers and the UUID are root's only. NoData on machines without the interface.
        """
        if self._identity is None:
            self._identity = self._read()
        if not self._identity:
            raise NoData(f"there is nothing to be read in {self._folder}")
        family = GaugeMetricFamily(
            "node_dmi_info",
            "1, with what the machine's firmware says of it as labels.",
            labels=list(self._identity),
        )
        family.add_metric(list(self._identity.values()), 1)
        yield family

    def _read(self) -> Mapping[str, str]:
        fields = {
            label: attribute(f"{self._folder}/{label.replace('system_vendor', 'sys_vendor')}")
            for label in _LABELS
        }
        return {label: value for label, value in fields.items() if value is not None}
