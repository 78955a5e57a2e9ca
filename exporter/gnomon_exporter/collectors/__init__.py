"""The registry: every collector by its name, which is also its file, its flag and its label."""

from gnomon_exporter.collectors.arp import ArpCollector
from gnomon_exporter.collectors.conntrack import ConntrackCollector
from gnomon_exporter.collectors.cpu import CpuCollector
from gnomon_exporter.collectors.diskstats import DiskstatsCollector
from gnomon_exporter.collectors.entropy import EntropyCollector
from gnomon_exporter.collectors.filefd import FilefdCollector
from gnomon_exporter.collectors.filesystem import FilesystemCollector
from gnomon_exporter.collectors.kernel_hung import KernelHungCollector
from gnomon_exporter.collectors.loadavg import LoadavgCollector
from gnomon_exporter.collectors.meminfo import MeminfoCollector
from gnomon_exporter.collectors.netclass import NetclassCollector
from gnomon_exporter.collectors.netdev import NetdevCollector
from gnomon_exporter.collectors.netstat import NetstatCollector
from gnomon_exporter.collectors.os import OsCollector
from gnomon_exporter.collectors.pressure import PressureCollector
from gnomon_exporter.collectors.schedstat import SchedstatCollector
from gnomon_exporter.collectors.selinux import SelinuxCollector
from gnomon_exporter.collectors.sockstat import SockstatCollector
from gnomon_exporter.collectors.softnet import SoftnetCollector
from gnomon_exporter.collectors.stat import StatCollector
from gnomon_exporter.collectors.time import TimeCollector
from gnomon_exporter.collectors.timex import TimexCollector
from gnomon_exporter.collectors.udp_queues import UdpQueuesCollector
from gnomon_exporter.collectors.uname import UnameCollector
from gnomon_exporter.collectors.vmstat import VmstatCollector
from gnomon_exporter.collectors.watchdog import WatchdogCollector
from gnomon_exporter.registry import Entry

# threaded: touches a file system, a device or a socket, so it may hang and gets a thread.
COLLECTORS: dict[str, Entry] = {
    "arp": Entry(ArpCollector),
    "conntrack": Entry(ConntrackCollector),
    "cpu": Entry(CpuCollector),
    "diskstats": Entry(DiskstatsCollector),
    "entropy": Entry(EntropyCollector),
    "filefd": Entry(FilefdCollector),
    "filesystem": Entry(FilesystemCollector, threaded=True),
    "kernel_hung": Entry(KernelHungCollector),
    "loadavg": Entry(LoadavgCollector),
    "meminfo": Entry(MeminfoCollector),
    "netclass": Entry(NetclassCollector, threaded=True),
    "netdev": Entry(NetdevCollector),
    "netstat": Entry(NetstatCollector),
    "os": Entry(OsCollector),
    "pressure": Entry(PressureCollector),
    "schedstat": Entry(SchedstatCollector),
    "selinux": Entry(SelinuxCollector),
    "sockstat": Entry(SockstatCollector),
    "softnet": Entry(SoftnetCollector),
    "stat": Entry(StatCollector),
    "time": Entry(TimeCollector),
    "timex": Entry(TimexCollector),
    "udp_queues": Entry(UdpQueuesCollector),
    "uname": Entry(UnameCollector),
    "vmstat": Entry(VmstatCollector),
    "watchdog": Entry(WatchdogCollector),
}
