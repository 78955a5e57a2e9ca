"""Memory by use, from /proc/meminfo."""

from collections.abc import Iterator, Mapping

from gnomon_exporter.families import GaugeMetricFamily
from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import fields

#: What each reported line means. The kernel's own account: Documentation/filesystems/proc.
_LINES: Mapping[str, str] = {
    "Active": "Memory used recently, reclaimed last",
    "Active(anon)": "Recently used memory of processes that no file backs",
    "Active(file)": "Recently used page cache",
    "AnonHugePages": "Anonymous memory in transparent huge pages",
    "AnonPages": "Anonymous memory mapped into processes",
    "Bounce": "Bounce buffers of block devices",
    "Buffers": "Cache of raw block devices",
    "Cached": "Page cache of files, shared memory included, without the swap cache",
    "CmaFree": "Free memory of the contiguous memory allocator",
    "CmaTotal": "Memory reserved for the contiguous memory allocator",
    "CommitLimit": "Memory that may be promised to processes when overcommit is strict",
    "Committed_AS": "Memory promised to processes, used or not",
    "DirectMap1G": "Kernel's direct mapping in pages of 1 GiB",
    "DirectMap2M": "Kernel's direct mapping in pages of 2 MiB",
    "DirectMap4k": "Kernel's direct mapping in pages of 4 KiB",
    "Dirty": "Memory that waits to be written to disk",
    "HardwareCorrupted": "Memory that the hardware has reported as broken",
    "HugePages_Free": "Free pages of the huge page pool",
    "HugePages_Rsvd": "Huge pages promised and not yet allocated",
    "HugePages_Surp": "Huge pages beyond the configured size of their pool",
    "HugePages_Total": "Pages in the huge page pool",
    "Hugepagesize": "Size of a default huge page",
    "Inactive": "Memory not used recently, reclaimed first",
    "Inactive(anon)": "Memory of processes that no file backs and that was not used recently",
    "Inactive(file)": "Page cache that was not used recently",
    "KernelStack": "Kernel stacks of all tasks",
    "Mapped": "Page cache mapped into processes, such as libraries",
    "MemAvailable": "Estimate of what new programs can use without swapping",
    "MemFree": "Memory that nothing uses",
    "MemTotal": "Usable memory",
    "Mlocked": "Memory locked by mlock",
    "NFS_Unstable": "Pages sent to an NFS server and not yet committed there",
    "PageTables": "Page tables of processes",
    "Percpu": "Per-CPU allocations of the kernel",
    "SReclaimable": "Kernel caches that can be reclaimed",
    "SUnreclaim": "Kernel objects that cannot be reclaimed",
    "Shmem": "Shared memory and tmpfs",
    "ShmemHugePages": "Shared memory and tmpfs in transparent huge pages",
    "ShmemPmdMapped": "Shared memory mapped by huge pages",
    "Slab": "Kernel objects and caches",
    "SwapCached": "Swapped memory that is in RAM again and still in swap",
    "SwapFree": "Swap space that nothing uses",
    "SwapTotal": "Swap space",
    "Unevictable": "Memory that cannot be reclaimed, such as locked memory",
    "VmallocChunk": "Largest free block of the vmalloc area",
    "VmallocTotal": "Size of the vmalloc area",
    "VmallocUsed": "Used part of the vmalloc area",
    "Writeback": "Memory that is being written to disk",
    "WritebackTmp": "Temporary buffers of FUSE for writing back",
    "Zswap": "Memory that zswap takes, compressed",
    "Zswapped": "Memory that zswap holds, before compression",
}


def _family(line: str, meaning: str) -> tuple[str, str]:
    """Return the name and HELP text of a line's family."""
    name = "node_memory_" + line.replace("(", "_").rstrip(")")
    # The huge page pool counts pages.
    return (name, f"{meaning}.") if "Pages_" in line else (f"{name}_bytes", f"{meaning}, in bytes.")


_FAMILIES = {f"{line}:": _family(line, meaning) for line, meaning in _LINES.items()}


class MeminfoCollector:
    """What the machine's memory is used for."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.proc("meminfo")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield a gauge for each line that is known and has a value."""
        for key, *value in fields(self._path):
            if (family := _FAMILIES.get(key)) is None:
                continue
            match value:
                case [kibibytes, "kB"]:
                    yield GaugeMetricFamily(*family, value=int(kibibytes) * 1024)
                case [plain]:
                    yield GaugeMetricFamily(*family, value=int(plain))
