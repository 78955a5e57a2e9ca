"""NVMe drives and their namespaces, from /sys/class/nvme."""

import os
import re
from collections.abc import Iterator

from gnomon_exporter.collector import NoData
from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import attribute, attribute_int

_NAMESPACE = re.compile(r"nvme\d+n(\d+)")
#: The kernel counts a disk's size in these, whatever the disk's own blocks.
_SECTOR = 512

_INFO = {
    "firmware_revision": "firmware_rev",
    "model": "model",
    "serial": "serial",
    "state": "state",
    "cntlid": "cntlid",
}


class NvmeCollector:
    """Identity, state and size of NVMe drives and their namespaces."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.sys("class/nvme")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the drives; a namespace's attributes that cannot be read are left out."""
        try:
            drives = sorted(os.listdir(self._path))
        except FileNotFoundError:
            raise NoData(f"no {self._path}: the kernel knows no NVMe drive") from None
        info = GaugeMetricFamily(
            "node_nvme_info", "The drive, always 1.", labels=("device", *_INFO)
        )
        namespaces = GaugeMetricFamily(
            "node_nvme_namespace_info",
            "The namespace and whether this path to it is optimal, always 1.",
            labels=("device", "nsid", "ana_state"),
        )
        capacity = _gauge("capacity", "Size of the namespace in bytes.")
        size = _gauge("size", "Size of the namespace in bytes, the same as its capacity.")
        used = _gauge("used", "Bytes of the namespace that the drive has in use.")
        block = _gauge("logical_block_size", "Bytes of one block of the namespace.")
        for drive in drives:
            path = f"{self._path}/{drive}"
            info.add_metric(
                (drive, *(attribute(f"{path}/{file}") or "" for file in _INFO.values())), 1
            )
            for nsid, folder in _namespaces(path):
                state = attribute(f"{folder}/ana_state") or "unknown"
                namespaces.add_metric((drive, nsid, state), 1)
                labels = (drive, nsid)
                if (sectors := attribute_int(f"{folder}/size")) is not None:
                    capacity.add_metric(labels, sectors * _SECTOR)
                    size.add_metric(labels, sectors * _SECTOR)
                if (length := attribute_int(f"{folder}/queue/logical_block_size")) is None:
                    continue
                block.add_metric(labels, length)
                if (blocks := attribute_int(f"{folder}/nuse")) is not None:
                    used.add_metric(labels, blocks * length)
        yield from (info, namespaces, capacity, size, used, block)


def _namespaces(path: str) -> list[tuple[str, str]]:
    """Return each namespace's number and directory."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return []
    matches = ((_NAMESPACE.fullmatch(name), name) for name in names)
    return [(match[1], f"{path}/{name}") for match, name in matches if match]


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"node_nvme_namespace_{name}_bytes", text, labels=("device", "nsid"))
