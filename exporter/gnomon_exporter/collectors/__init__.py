"""The registry: every collector by its name, which is also its file, its flag and its label."""

import sys

from gnomon_exporter.collectors.arp import ArpCollector
from gnomon_exporter.collectors.bcache import BcacheCollector
from gnomon_exporter.collectors.bcachefs import BcachefsCollector
from gnomon_exporter.collectors.bonding import BondingCollector
from gnomon_exporter.collectors.btrfs import BtrfsCollector
from gnomon_exporter.collectors.celery import CeleryCollector
from gnomon_exporter.collectors.cgroup import CgroupCollector
from gnomon_exporter.collectors.conntrack import ConntrackCollector
from gnomon_exporter.collectors.cpu import CpuCollector
from gnomon_exporter.collectors.cpufreq import CpufreqCollector
from gnomon_exporter.collectors.diskstats import DiskstatsCollector
from gnomon_exporter.collectors.dmi import DmiCollector
from gnomon_exporter.collectors.edac import EdacCollector
from gnomon_exporter.collectors.entropy import EntropyCollector
from gnomon_exporter.collectors.fibrechannel import FibrechannelCollector
from gnomon_exporter.collectors.filefd import FilefdCollector
from gnomon_exporter.collectors.filesystem import FilesystemCollector
from gnomon_exporter.collectors.gpu import GpuCollector
from gnomon_exporter.collectors.hwmon import HwmonCollector
from gnomon_exporter.collectors.infiniband import InfinibandCollector
from gnomon_exporter.collectors.ipvs import IpvsCollector
from gnomon_exporter.collectors.kernel_hung import KernelHungCollector
from gnomon_exporter.collectors.loadavg import LoadavgCollector
from gnomon_exporter.collectors.mdadm import MdadmCollector
from gnomon_exporter.collectors.memcached import MemcachedCollector
from gnomon_exporter.collectors.meminfo import MeminfoCollector
from gnomon_exporter.collectors.netclass import NetclassCollector
from gnomon_exporter.collectors.netdev import NetdevCollector
from gnomon_exporter.collectors.netstat import NetstatCollector
from gnomon_exporter.collectors.nfs import NfsCollector
from gnomon_exporter.collectors.nfsd import NfsdCollector
from gnomon_exporter.collectors.nvme import NvmeCollector
from gnomon_exporter.collectors.os import OsCollector
from gnomon_exporter.collectors.powersupplyclass import PowersupplyclassCollector
from gnomon_exporter.collectors.pressure import PressureCollector
from gnomon_exporter.collectors.process import ProcessCollector
from gnomon_exporter.collectors.processes import ProcessesCollector
from gnomon_exporter.collectors.rapl import RaplCollector
from gnomon_exporter.collectors.redis import RedisCollector
from gnomon_exporter.collectors.rq import RqCollector
from gnomon_exporter.collectors.schedstat import SchedstatCollector
from gnomon_exporter.collectors.selinux import SelinuxCollector
from gnomon_exporter.collectors.sockstat import SockstatCollector
from gnomon_exporter.collectors.softnet import SoftnetCollector
from gnomon_exporter.collectors.stat import StatCollector
from gnomon_exporter.collectors.tapestats import TapestatsCollector
from gnomon_exporter.collectors.textfile import TextfileCollector
from gnomon_exporter.collectors.thermal_zone import ThermalZoneCollector
from gnomon_exporter.collectors.time import TimeCollector
from gnomon_exporter.collectors.timex import TimexCollector
from gnomon_exporter.collectors.udp_queues import UdpQueuesCollector
from gnomon_exporter.collectors.uname import UnameCollector
from gnomon_exporter.collectors.vmstat import VmstatCollector
from gnomon_exporter.collectors.watchdog import WatchdogCollector
from gnomon_exporter.collectors.xfs import XfsCollector
from gnomon_exporter.collectors.zfs import ZfsCollector
from gnomon_exporter.registry import Entry

# threaded: touches a file system, a device or a socket, so it may hang and gets a thread.
COLLECTORS: dict[str, Entry] = {
    "arp": Entry(ArpCollector),
    "bcache": Entry(BcacheCollector),
    "bcachefs": Entry(BcachefsCollector),
    "bonding": Entry(BondingCollector),
    "btrfs": Entry(BtrfsCollector),
    "celery": Entry(CeleryCollector, threaded=True, default=False, node=False),
    "cgroup": Entry(CgroupCollector, threaded=True, default=False, node=False),
    "conntrack": Entry(ConntrackCollector),
    "cpu": Entry(CpuCollector),
    "cpufreq": Entry(CpufreqCollector, threaded=True),
    "diskstats": Entry(DiskstatsCollector),
    "dmi": Entry(DmiCollector),
    "edac": Entry(EdacCollector),
    "entropy": Entry(EntropyCollector),
    "fibrechannel": Entry(FibrechannelCollector, threaded=True),
    "filefd": Entry(FilefdCollector),
    "filesystem": Entry(FilesystemCollector, threaded=True),
    "gpu": Entry(GpuCollector, threaded=True, node=False),
    "hwmon": Entry(HwmonCollector, threaded=True),
    "infiniband": Entry(InfinibandCollector, threaded=True),
    "ipvs": Entry(IpvsCollector),
    "kernel_hung": Entry(KernelHungCollector),
    "loadavg": Entry(LoadavgCollector),
    "mdadm": Entry(MdadmCollector),
    "meminfo": Entry(MeminfoCollector),
    "memcached": Entry(MemcachedCollector, threaded=True, default=False, node=False),
    "netclass": Entry(NetclassCollector, threaded=True),
    "netdev": Entry(NetdevCollector),
    "netstat": Entry(NetstatCollector),
    "nfs": Entry(NfsCollector),
    "nfsd": Entry(NfsdCollector),
    "nvme": Entry(NvmeCollector, threaded=True),
    "os": Entry(OsCollector),
    "powersupplyclass": Entry(PowersupplyclassCollector, threaded=True),
    "pressure": Entry(PressureCollector),
    "process": Entry(ProcessCollector, node=False),
    "processes": Entry(ProcessesCollector, threaded=True, default=False, node=False),
    "rapl": Entry(RaplCollector),
    "redis": Entry(RedisCollector, threaded=True, default=False, node=False),
    "rq": Entry(RqCollector, threaded=True, default=False, node=False),
    "schedstat": Entry(SchedstatCollector),
    "selinux": Entry(SelinuxCollector),
    "sockstat": Entry(SockstatCollector),
    "softnet": Entry(SoftnetCollector),
    "stat": Entry(StatCollector),
    "tapestats": Entry(TapestatsCollector),
    "textfile": Entry(TextfileCollector, threaded=True),
    "thermal_zone": Entry(ThermalZoneCollector, threaded=True),
    "time": Entry(TimeCollector),
    "timex": Entry(TimexCollector),
    "udp_queues": Entry(UdpQueuesCollector),
    "uname": Entry(UnameCollector),
    "vmstat": Entry(VmstatCollector),
    "watchdog": Entry(WatchdogCollector),
    "xfs": Entry(XfsCollector),
    "zfs": Entry(ZfsCollector, threaded=True),
}

if sys.platform != "linux":
    from gnomon_exporter.collectors import portable  # needs psutil, which Linux does without

    # What psutil knows, under the same names, and what needs no Linux.
    PORTABLE: dict[str, Entry] = {
        "boottime": Entry(portable.BoottimeCollector),
        "cpu": Entry(portable.CpuCollector),
        "diskstats": Entry(portable.DiskstatsCollector),
        "filesystem": Entry(portable.FilesystemCollector, threaded=True),
        "loadavg": Entry(portable.LoadavgCollector),
        "meminfo": Entry(portable.MeminfoCollector),
        "netdev": Entry(portable.NetdevCollector),
        "os": Entry(OsCollector),
        "time": Entry(TimeCollector),
        "uname": Entry(UnameCollector),
    }
    COLLECTORS = PORTABLE
