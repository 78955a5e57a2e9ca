"""SELinux' mode, from selinuxfs and /etc/selinux/config."""

from collections.abc import Iterator

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int, read

_MODES = {"enforcing": 1, "permissive": 0}
_DISABLED = -1


class SelinuxCollector:
    """Whether SELinux is on, what it enforces now and what it will enforce after a reboot."""

    def __init__(self, paths: Paths) -> None:
        self._enforce = paths.sys("fs/selinux/enforce")
        self._label = paths.proc("self/attr/current")
        self._config = paths.root("/etc/selinux/config")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield that it is off, or that it is on and both modes as far as they can be read."""
        enforce = attribute_int(self._enforce)
        # Until a policy is loaded every process bears the label "kernel".
        enabled = enforce is not None and (attribute(self._label) or "").strip("\0") != "kernel"
        yield GaugeMetricFamily(
            "node_selinux_enabled", "1 if SELinux is enabled, 0 if not.", int(enabled)
        )
        if not enabled:
            return
        if (configured := self._configured()) is not None:
            yield GaugeMetricFamily(
                "node_selinux_config_mode",
                "Configured mode: 1 enforcing, 0 permissive, -1 disabled.",
                configured,
            )
        yield GaugeMetricFamily(
            "node_selinux_current_mode", "Mode in force: 1 enforcing, 0 permissive.", enforce
        )

    def _configured(self) -> int | None:
        """Return the mode that the configuration file asks for, None without such a file."""
        try:
            lines = read(self._config).splitlines()
        except OSError:
            return None
        mode = _DISABLED
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == "SELINUX":
                mode = _MODES.get(value.strip(" \t\"'").lower(), _DISABLED)
        return mode
