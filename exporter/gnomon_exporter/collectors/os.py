"""The distribution, its version and its end of support, from os-release."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

_LABELS = (
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
)
_MAJOR_MINOR = re.compile(r"[0-9]+\.?[0-9]*")
_ESCAPED = re.compile(r"""\\(["'$`\\])""")


class OsCollector:
    """Name and version of the operating system, from os-release(5)."""

    def __init__(self, paths: Paths) -> None:
        self._paths = (paths.root("/etc/os-release"), paths.root("/usr/lib/os-release"))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what the file says. NoData without such a file."""
        release = self._read()
        info = GaugeMetricFamily(
            "node_os_info",
            "1, with the distribution's names and versions as labels.",
            labels=_LABELS,
        )
        info.add_metric([release.get(label.upper(), "") for label in _LABELS], 1)
        yield info
        number = _MAJOR_MINOR.match(release.get("VERSION_ID", ""))
        if number and (version := float(number[0])) > 0:
            family = GaugeMetricFamily(
                "node_os_version",
                "Major and minor version of the distribution as one number.",
                labels=["id", "id_like", "name"],
            )
            family.add_metric([release.get(key, "") for key in ("ID", "ID_LIKE", "NAME")], version)
            yield family
        if end := release.get("SUPPORT_END"):
            yield GaugeMetricFamily(
                "node_os_support_end_timestamp_seconds",
                "Unix time at which the distribution's support ends.",
                datetime.strptime(end, "%Y-%m-%d").replace(tzinfo=UTC).timestamp(),
            )

    def _read(self) -> Mapping[str, str]:
        """Return the variables that the first of the files sets."""
        for path in self._paths:
            try:
                return dict(_assignments(read(path)))
            except FileNotFoundError:
                continue
        raise NoData(f"there is no {' or '.join(self._paths)}")


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """Yield each variable and its value, freed from the quotes and escapes of a shell."""
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        quote = value[:1] if value.startswith(("'", '"')) else ""
        if not equals or (quote and (len(value) < 2 or not value.endswith(quote))):
            continue
        value = value.removeprefix(quote).removesuffix(quote)
        yield name, value if quote == "'" else _ESCAPED.sub(r"\1", value)
