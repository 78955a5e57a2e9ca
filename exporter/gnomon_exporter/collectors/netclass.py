"""Properties of the network devices, from /sys/class/net."""

import os
from collections.abc import Iterable, Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import CounterMetricFamily, GaugeMetricFamily
from gnomon_exporter.filters import compiled
from gnomon_exporter.held import HeldAttributes
from gnomon_exporter.paths import Paths

# An attribute, the metric's name and its help; see Documentation/ABI/testing/sysfs-class-net.
_GAUGES = (
    ("addr_assign_type", "address_assign_type", "How the device came by its address."),
    ("carrier", "carrier", "1 if there is a carrier."),
    ("dev_id", "device_id", "Tells devices that share one address apart."),
    ("dormant", "dormant", "1 if the device waits for something outside, such as a login."),
    ("flags", "flags", "The device's flags (IFF_UP and others) as one number."),
    ("ifindex", "iface_id", "The device's number on this system."),
    ("iflink", "iface_link", "The number of the device below this one, or its own."),
    ("link_mode", "iface_link_mode", "How the device gets into operation."),
    ("mtu", "mtu_bytes", "Size of the largest packet."),
    ("name_assign_type", "name_assign_type", "How the device came by its name."),
    ("netdev_group", "net_dev_group", "The group that the device is in."),
    ("tx_queue_len", "transmit_queue_length", "Packets that the send queue holds."),
    ("type", "protocol_type", "The hardware's type (ARPHRD_ETHER and others) as a number."),
)
_COUNTERS = (
    ("carrier_changes", "carrier_changes", "Times that the carrier came or went."),
    ("carrier_up_count", "carrier_up_changes", "Times that the carrier came."),
    ("carrier_down_count", "carrier_down_changes", "Times that the carrier went."),
)
_TEXTS = ("address", "broadcast", "duplex", "operstate", "ifalias")
_ATTRIBUTES = (
    *_TEXTS,
    *(attribute for attribute, _, _ in _GAUGES + _COUNTERS),
    "speed",
)
_LABELS = ("device", "address", "broadcast", "duplex", "operstate", "adminstate", "ifalias")
# A host with a thousand containers must not hold 22,000 files open.
_MOST_HELD = 16
_IFF_UP = 1  # of linux/if.h
_BYTES_PER_MEGABIT = 125_000


class NetclassCollector:
    """State, addresses, speed and other properties of each network device.

    ignored_devices: regular expression of the devices to leave out.
    ignore_invalid_speed: leave the speed out where the driver does not know it; otherwise such a
    device has -125000, as node_exporter says.
    """

    def __init__(
        self, paths: Paths, *, ignored_devices: str = "^$", ignore_invalid_speed: bool = False
    ) -> None:
        self._class = paths.sys("class/net")
        self._ignored = compiled("ignored_devices", ignored_devices)
        self._ignore_invalid_speed = ignore_invalid_speed
        self._held: dict[int, HeldAttributes] = {}  # by inode

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield one family for each property.

        A device lacks what it does not support and what its state forbids to read (the carrier
        of one that is down). Raises NoData where /sys has no network devices at all.
        """
        try:
            with os.scandir(self._class) as entries:
                devices = self._devices(list(entries))
        except (FileNotFoundError, PermissionError) as error:
            raise NoData(str(error)) from None
        up = _gauge("up", "1 if the device is in operation.")
        info = GaugeMetricFamily(
            "node_network_info", "Addresses and states of a device.", labels=_LABELS
        )
        numeric: list[tuple[str, GaugeMetricFamily | CounterMetricFamily]] = [
            *((attribute, _gauge(name, text)) for attribute, name, text in _GAUGES),
            *((attribute, _counter(name, text)) for attribute, name, text in _COUNTERS),
        ]
        speed = _gauge("speed_bytes", "Speed of the link, in bytes per second.")
        for device, texts in devices:
            label = [device]
            info.add_metric(
                [
                    device,
                    texts.get("address", ""),
                    texts.get("broadcast", ""),
                    texts.get("duplex", ""),
                    texts.get("operstate", ""),
                    _admin_state(_number(texts.get("flags"))),
                    texts.get("ifalias", ""),
                ],
                1,
            )
            if state := texts.get("operstate"):
                up.add_metric(label, int(state == "up"))
            for attribute, family in numeric:
                number = _number(texts.get(attribute))
                if number is not None:
                    family.add_metric(label, number)
            megabits = _number(texts.get("speed"))
            if megabits is not None and (megabits >= 0 or not self._ignore_invalid_speed):
                speed.add_metric(label, megabits * _BYTES_PER_MEGABIT)
        yield up
        yield info
        for _, family in numeric:
            yield family
        yield speed

    def _devices(self, entries: Iterable[os.DirEntry[str]]) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield each device's name and readable attributes."""
        held: dict[int, HeldAttributes] = {}
        for entry in sorted(entries, key=lambda entry: entry.name):
            if self._ignored.search(entry.name):
                continue
            # A renamed device keeps its inode; a new one of the same name has another.
            inode = entry.inode()
            attributes = self._held.pop(inode, None)
            if attributes is None:
                try:
                    attributes = HeldAttributes(entry.path, _ATTRIBUTES)
                except (FileNotFoundError, NotADirectoryError, PermissionError):
                    continue  # gone meanwhile, or bonding_masters, a file among the devices
            if texts := attributes.read():
                yield entry.name, texts
            if len(held) < _MOST_HELD:
                held[inode] = attributes
            else:
                attributes.close()
        for attributes in self._held.values():
            attributes.close()
        self._held = held


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"node_network_{name}", documentation, labels=["device"])


def _counter(name: str, documentation: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"node_network_{name}_total", documentation, labels=["device"])


def _number(text: str | None) -> int | None:
    """Return an attribute's number, which may be hexadecimal; None if it has none."""
    if text is None:
        return None
    try:
        return int(text, 0)
    except ValueError:
        return None


def _admin_state(flags: int | None) -> str:
    if flags is None:
        return "unknown"
    return "up" if flags & _IFF_UP else "down"
