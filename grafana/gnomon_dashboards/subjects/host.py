"""Machines by their resources: how much of each is used, how much waits for it, what goes wrong."""

from gnomon_dashboards import colours, units
from gnomon_dashboards.dashboard import Dashboard, Section
from gnomon_dashboards.limits import recording
from gnomon_dashboards.panels import (
    Column,
    above,
    below,
    coloured,
    graph,
    limit,
    number,
    states,
    styled,
    table,
)
from gnomon_dashboards.queries import Query, now, rows
from gnomon_dashboards.variables import Choice

_HERE = '{instance=~"$instance"}'


def _limit(name: str, *, by: str = "max") -> Query:
    """Return the line of a threshold for the machines on show."""
    return limit(f"{by}({recording(name)}{_HERE})")


_SUMMARY = Section(
    "",
    (
        number(
            "Processors",
            "How much of the processors' time is used, on the busiest machine chosen?",
            now(f"max(instance:node_cpu_utilisation:ratio_rate5m{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            steps=above("cpu_saturated:ratio"),
        ),
        number(
            "Memory used",
            "How much of the memory can programs no longer get, on the fullest machine chosen?",
            now(f"max(instance:node_memory_utilisation:ratio{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            steps=above("memory_high:ratio"),
        ),
        number(
            "Disk left",
            "How much is left of the fullest file system?",
            now(f"min(instance_mountpoint:node_filesystem_avail:ratio{_HERE})"),
            unit=units.RATIO,
            decimals=0,
            steps=below("filesystem_almost_full:ratio", watch=5),
        ),
        number(
            "Time lost",
            "For which share of time did some task stand still for want of processor, memory or"
            " disk? The worst of the three.",
            now(
                'max({__name__=~"instance:node_(cpu|memory|io)_pressure:ratio_rate5m",'
                'instance=~"$instance"})'
            ),
            unit=units.RATIO,
            decimals=1,
            steps=((None, colours.GOOD), (0.1, colours.WATCH), (0.4, colours.BAD)),
            empty="This kernel does not measure pressure",
        ),
        number(
            "Clock off by",
            "How far is the clock from Prometheus'?",
            now(f"max(instance:node_clock_skew_seconds:abs{_HERE})"),
            unit=units.SECONDS,
            decimals=2,
            steps=above("clock_skewed:seconds"),
        ),
        number(
            "Up for",
            "How long ago was the youngest of the machines started?",
            now(f"min(time() - node_boot_time_seconds{_HERE})"),
            unit=units.SECONDS,
            decimals=1,
        ),
    ),
)

_PROCESSORS = Section(
    "Processors",
    (
        graph(
            "Processors: use",
            "How much of the time that the machine was given is used?",
            Query(expr=f"instance:node_cpu_utilisation:ratio_rate5m{_HERE}", legend="{{instance}}"),
            _limit("cpu_saturated:ratio"),
            unit=units.RATIO,
            high=1,
        ),
        graph(
            "Processors: what for",
            "Who uses the time: programs, the kernel, interrupts, waiting for disks?",
            Query(
                expr="avg by (mode) (rate(node_cpu_seconds_total"
                '{instance=~"$instance", mode!="idle"}[$__rate_interval]))',
                legend="{{mode}}",
            ),
            unit=units.RATIO,
            stacked=True,
            high=1,
            overrides=(coloured("iowait", colours.BAD), coloured("steal", colours.FAINT)),
        ),
        graph(
            "Processors: saturation",
            "How many tasks does each processor have, running or waiting to run?",
            Query(
                expr=f"instance:node_load5_per_cpu:ratio{_HERE}", legend="{{instance}}, over 5 min"
            ),
            Query(
                expr=f"instance:node_procs_running_per_cpu:ratio{_HERE}",
                legend="{{instance}}, now",
            ),
            _limit("cpu_saturated:tasks"),
            unit=units.COUNT,
        ),
        graph(
            "Tasks that stood still",
            "For which share of time did some task wait for a processor, memory or a disk?",
            Query(expr=f"avg(instance:node_cpu_pressure:ratio_rate5m{_HERE})", legend="processor"),
            Query(expr=f"avg(instance:node_memory_pressure:ratio_rate5m{_HERE})", legend="memory"),
            Query(expr=f"avg(instance:node_io_pressure:ratio_rate5m{_HERE})", legend="disk"),
            unit=units.RATIO,
            empty="This kernel does not measure pressure",
        ),
    ),
)

_MEMORY = Section(
    "Memory",
    (
        graph(
            "Memory: use",
            "Which share of the memory can programs no longer get?",
            Query(expr=f"instance:node_memory_utilisation:ratio{_HERE}", legend="{{instance}}"),
            _limit("memory_high:ratio"),
            unit=units.RATIO,
            high=1,
        ),
        graph(
            "Memory: what for",
            "What is the memory used for, summed over the machines chosen?",
            Query(
                expr=f"sum(node_memory_MemTotal_bytes{_HERE}"
                f" - instance:node_memory_available:bytes{_HERE}"
                f" - instance:node_memory_huge:bytes{_HERE})",
                legend="programs and kernel",
            ),
            Query(expr=f"sum(instance:node_memory_huge:bytes{_HERE})", legend="huge pages"),
            Query(
                expr=f"sum(instance:node_memory_available:bytes{_HERE}"
                f" - node_memory_MemFree_bytes{_HERE})",
                legend="caches that give way",
            ),
            Query(expr=f"sum(node_memory_MemFree_bytes{_HERE})", legend="free"),
            unit=units.BYTES,
            stacked=True,
            overrides=(
                coloured("free", colours.GOOD),
                coloured("programs and kernel", colours.PLAIN),
            ),
        ),
        graph(
            "Pages from disk and swap",
            "How many pages had to be read from disk because they were not in memory, and how many"
            " went to swap and back?",
            Query(
                expr=f"sum(rate(node_vmstat_pgmajfault{_HERE}[$__rate_interval]))",
                legend="major faults",
            ),
            Query(
                expr=f"sum(rate(node_vmstat_pswpin{_HERE}[$__rate_interval]))",
                legend="from swap",
            ),
            Query(
                expr=f"sum(rate(node_vmstat_pswpout{_HERE}[$__rate_interval]))",
                legend="to swap",
            ),
            unit=units.EVENTS_RATE,
        ),
        graph(
            "Killed for want of memory",
            "How many programs did the kernel kill because memory had run out?",
            Query(
                expr=f"sum by (instance) (increase(node_vmstat_oom_kill{_HERE}[$__rate_interval]))",
                legend="{{instance}}",
            ),
            unit=units.COUNT,
            bars=True,
            overrides=(styled(".*", pattern=True, color={"mode": "fixed", "fixedColor": "red"}),),
        ),
    ),
)

_DISKS = Section(
    "Disks and file systems",
    (
        table(
            "File systems",
            "Which file system is the fullest, and how large will it be in a day?",
            rows(
                "1 - instance_mountpoint:node_filesystem_avail:ratio"
                '{instance=~"$instance", fstype!~"tmpfs|ramfs"}',
                ref="used",
            ),
            rows(
                'node_filesystem_avail_bytes{instance=~"$instance", fstype!~"tmpfs|ramfs"}',
                ref="left",
            ),
            rows(
                'node_filesystem_size_bytes{instance=~"$instance", fstype!~"tmpfs|ramfs"}',
                ref="size",
            ),
            columns=(
                Column(source="instance", title="Machine"),
                Column(source="mountpoint", title="Mounted at"),
                Column(source="device", title="Device"),
                Column(source="fstype", title="Type", width=90),
                Column(source="Value #size", title="Size", unit=units.BYTES, width=110),
                Column(source="Value #left", title="Left", unit=units.BYTES, width=110),
                Column(
                    source="Value #used",
                    title="Used",
                    unit=units.RATIO,
                    bar=True,
                    high=1,
                    steps=((None, colours.GOOD), (0.8, colours.WATCH), (0.95, colours.BAD)),
                ),
            ),
            sort="Used",
            width=24,
            height=7,
        ),
        graph(
            "Disks: busy",
            "For which share of time did the disk have something to do?",
            Query(
                expr=f"instance_device:node_disk_utilisation:ratio_rate5m{_HERE}",
                legend="{{instance}} {{device}}",
            ),
            unit=units.RATIO,
            high=1,
        ),
        graph(
            "Disks: how long one request takes",
            "How long does a read or a write take, with the time it waits for others?",
            Query(
                expr=f"instance_device:node_disk_wait_seconds:ratio_rate5m{_HERE}",
                legend="{{instance}} {{device}}",
            ),
            _limit("disk_saturated:seconds"),
            unit=units.SECONDS,
        ),
        graph(
            "Disks: read and written",
            "How many bytes are read (up) and written (down) each second?",
            Query(
                expr=f"sum by (device) (rate(node_disk_read_bytes_total{_HERE}[$__rate_interval]))",
                legend="{{device}} read",
            ),
            Query(
                expr="sum by (device) "
                f"(rate(node_disk_written_bytes_total{_HERE}[$__rate_interval]))",
                legend="{{device}} written",
            ),
            unit=units.BYTES_RATE,
            low=None,
            overrides=(styled("written$", pattern=True, custom__transform="negative-Y"),),
        ),
        graph(
            "File systems: what is left",
            "Which share of each file system is left?",
            Query(
                expr=f"instance_mountpoint:node_filesystem_avail:ratio{_HERE}",
                legend="{{instance}} {{mountpoint}}",
            ),
            _limit("filesystem_almost_full:ratio"),
            unit=units.RATIO,
            high=1,
        ),
    ),
)

_NETWORK = Section(
    "Network and clock",
    (
        graph(
            "Network: received and sent",
            "How much is received (up) and sent (down) each second?",
            Query(
                expr="sum by (device) (rate(node_network_receive_bytes_total"
                '{instance=~"$instance", device!="lo"}[$__rate_interval])) * 8',
                legend="{{device}} received",
            ),
            Query(
                expr="sum by (device) (rate(node_network_transmit_bytes_total"
                '{instance=~"$instance", device!="lo"}[$__rate_interval])) * 8',
                legend="{{device}} sent",
            ),
            unit=units.BITS_RATE,
            low=None,
            overrides=(styled("sent$", pattern=True, custom__transform="negative-Y"),),
        ),
        graph(
            "Network: packets in error",
            "Which share of the packets was in error?",
            Query(
                expr=f"instance_device:node_network_errs:ratio_rate5m{_HERE}",
                legend="{{instance}} {{device}}",
            ),
            _limit("network_errors:ratio"),
            unit=units.RATIO,
        ),
        graph(
            "TCP: connections",
            "How many connections are there, and how many wait to be forgotten?",
            Query(expr=f"sum(node_netstat_Tcp_CurrEstab{_HERE})", legend="established"),
            Query(expr=f"sum(node_sockstat_TCP_tw{_HERE})", legend="waiting to be forgotten"),
            Query(expr=f"sum(node_sockstat_TCP_orphan{_HERE})", legend="with no owner"),
            unit=units.COUNT,
        ),
        graph(
            "TCP: sent again",
            "Which share of the segments had to be sent again?",
            Query(
                expr="sum by (instance) "
                f"(rate(node_netstat_Tcp_RetransSegs{_HERE}[$__rate_interval]))"
                f" / (sum by (instance) (rate(node_netstat_Tcp_OutSegs{_HERE}"
                "[$__rate_interval])) > 0)",
                legend="{{instance}}",
            ),
            unit=units.RATIO,
        ),
    ),
    folded=True,
)

_RARE = Section(
    "What is rarely short, and hardware",
    (
        graph(
            "File systems: inodes left",
            "Which share of its inodes does each file system have left? Without one no file can be"
            " made.",
            Query(
                expr=f"instance_mountpoint:node_filesystem_files_free:ratio{_HERE}",
                legend="{{instance}} {{mountpoint}}",
            ),
            _limit("inodes_almost_gone:ratio"),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
        ),
        graph(
            "Tracked connections",
            "Which share of the kernel's table of connections is in use? When it is full, new ones"
            " are dropped.",
            Query(expr=f"instance:node_conntrack_utilisation:ratio{_HERE}", legend="{{instance}}"),
            _limit("conntrack_almost_full:ratio"),
            unit=units.RATIO,
            high=1,
            width=8,
            legend=(),
            empty="No connections are tracked here",
        ),
        graph(
            "RAID: disks that are missing",
            "How many disks does each array lack? It works without one, but not without two.",
            Query(
                expr=f"node_md_disks_required{_HERE} - on (job, instance, device) group_left ()"
                ' node_md_disks{instance=~"$instance", state="active"}',
                legend="{{instance}} {{device}}",
            ),
            unit=units.WHOLE,
            width=8,
            legend=(),
            empty="No software RAID here",
        ),
        graph(
            "Temperatures",
            "How hot is it where there are sensors?",
            Query(
                expr=f"max by (instance, chip) (node_hwmon_temp_celsius{_HERE})",
                legend="{{instance}} {{chip}}",
            ),
            unit=units.CELSIUS,
            width=8,
            legend=(),
            empty="No sensors here",
        ),
        states(
            "File systems: can be written to and answer",
            "Which one turned read-only, and which one on another machine does not answer?",
            Query(
                expr="max by (instance, mountpoint) ("
                'node_filesystem_readonly{instance=~"$instance", fstype!~"tmpfs|ramfs|squashfs"}'
                " or on (job, instance, device, mountpoint) 2 * node_filesystem_device_error{"
                'instance=~"$instance", fstype=~"nfs4?|cifs|smb3|ceph|lustre|glusterfs|9p"})',
                legend="{{instance}} {{mountpoint}}",
            ),
            named=(
                (0, "can be written to", colours.GOOD),
                (1, "read-only", colours.FAINT),
                (2, "does not answer", colours.BAD),
            ),
            width=8,
        ),
        states(
            "Clock: kept right",
            "Does something keep the clock right?",
            Query(expr=f"node_timex_sync_status{_HERE}", legend="{{instance}}"),
            named=((0, "left to itself", colours.WATCH), (1, "kept right", colours.GOOD)),
            width=8,
        ),
    ),
    folded=True,
)

DASHBOARD = Dashboard(
    subject="host",
    title="Host",
    purpose="Which resource of which machine is short: how much is used, what waits, what fails.",
    variables=(Choice(name="instance", source="node_uname_info", title="Machine"),),
    sections=(_SUMMARY, _PROCESSORS, _MEMORY, _DISKS, _NETWORK, _RARE),
    about='instance=~"$instance"',
    more_links=(),
)
