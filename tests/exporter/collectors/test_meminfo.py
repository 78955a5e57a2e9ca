"""The meminfo collector."""

from gnomon_exporter.collectors.meminfo import MeminfoCollector
from gnomon_exporter.paths import Paths


def test_reports_a_recorded_machine(recorded, exposed):
    """Sizes come in bytes, the huge page pool in pages, names as node_exporter spells them."""
    assert exposed(MeminfoCollector(recorded)) == [
        "# TYPE node_memory_MemTotal_bytes gauge",
        "node_memory_MemTotal_bytes 25274793984",
        "# TYPE node_memory_MemFree_bytes gauge",
        "node_memory_MemFree_bytes 24318689280",
        "# TYPE node_memory_MemAvailable_bytes gauge",
        "node_memory_MemAvailable_bytes 24782499840",
        "# TYPE node_memory_Buffers_bytes gauge",
        "node_memory_Buffers_bytes 4644864",
        "# TYPE node_memory_Cached_bytes gauge",
        "node_memory_Cached_bytes 591712256",
        "# TYPE node_memory_SwapCached_bytes gauge",
        "node_memory_SwapCached_bytes 0",
        "# TYPE node_memory_Active_bytes gauge",
        "node_memory_Active_bytes 348098560",
        "# TYPE node_memory_Inactive_bytes gauge",
        "node_memory_Inactive_bytes 302424064",
        "# TYPE node_memory_Active_anon_bytes gauge",
        "node_memory_Active_anon_bytes 1626112",
        "# TYPE node_memory_Inactive_anon_bytes gauge",
        "node_memory_Inactive_anon_bytes 65626112",
        "# TYPE node_memory_Active_file_bytes gauge",
        "node_memory_Active_file_bytes 346472448",
        "# TYPE node_memory_Inactive_file_bytes gauge",
        "node_memory_Inactive_file_bytes 236797952",
        "# TYPE node_memory_Unevictable_bytes gauge",
        "node_memory_Unevictable_bytes 26365952",
        "# TYPE node_memory_Mlocked_bytes gauge",
        "node_memory_Mlocked_bytes 23851008",
        "# TYPE node_memory_SwapTotal_bytes gauge",
        "node_memory_SwapTotal_bytes 0",
        "# TYPE node_memory_SwapFree_bytes gauge",
        "node_memory_SwapFree_bytes 0",
        "# TYPE node_memory_Zswap_bytes gauge",
        "node_memory_Zswap_bytes 0",
        "# TYPE node_memory_Zswapped_bytes gauge",
        "node_memory_Zswapped_bytes 0",
        "# TYPE node_memory_Dirty_bytes gauge",
        "node_memory_Dirty_bytes 1679360",
        "# TYPE node_memory_Writeback_bytes gauge",
        "node_memory_Writeback_bytes 0",
        "# TYPE node_memory_AnonPages_bytes gauge",
        "node_memory_AnonPages_bytes 80539648",
        "# TYPE node_memory_Mapped_bytes gauge",
        "node_memory_Mapped_bytes 28733440",
        "# TYPE node_memory_Shmem_bytes gauge",
        "node_memory_Shmem_bytes 13082624",
        "# TYPE node_memory_Slab_bytes gauge",
        "node_memory_Slab_bytes 213504000",
        "# TYPE node_memory_SReclaimable_bytes gauge",
        "node_memory_SReclaimable_bytes 183537664",
        "# TYPE node_memory_SUnreclaim_bytes gauge",
        "node_memory_SUnreclaim_bytes 29966336",
        "# TYPE node_memory_KernelStack_bytes gauge",
        "node_memory_KernelStack_bytes 2027520",
        "# TYPE node_memory_PageTables_bytes gauge",
        "node_memory_PageTables_bytes 3633152",
        "# TYPE node_memory_NFS_Unstable_bytes gauge",
        "node_memory_NFS_Unstable_bytes 0",
        "# TYPE node_memory_Bounce_bytes gauge",
        "node_memory_Bounce_bytes 0",
        "# TYPE node_memory_WritebackTmp_bytes gauge",
        "node_memory_WritebackTmp_bytes 0",
        "# TYPE node_memory_CommitLimit_bytes gauge",
        "node_memory_CommitLimit_bytes 12637396992",
        "# TYPE node_memory_Committed_AS_bytes gauge",
        "node_memory_Committed_AS_bytes 264998912",
        "# TYPE node_memory_VmallocTotal_bytes gauge",
        "node_memory_VmallocTotal_bytes 35184372087808",
        "# TYPE node_memory_VmallocUsed_bytes gauge",
        "node_memory_VmallocUsed_bytes 15151104",
        "# TYPE node_memory_VmallocChunk_bytes gauge",
        "node_memory_VmallocChunk_bytes 0",
        "# TYPE node_memory_Percpu_bytes gauge",
        "node_memory_Percpu_bytes 729088",
        "# TYPE node_memory_AnonHugePages_bytes gauge",
        "node_memory_AnonHugePages_bytes 0",
        "# TYPE node_memory_ShmemHugePages_bytes gauge",
        "node_memory_ShmemHugePages_bytes 0",
        "# TYPE node_memory_ShmemPmdMapped_bytes gauge",
        "node_memory_ShmemPmdMapped_bytes 0",
        "# TYPE node_memory_HugePages_Total gauge",
        "node_memory_HugePages_Total 0",
        "# TYPE node_memory_HugePages_Free gauge",
        "node_memory_HugePages_Free 0",
        "# TYPE node_memory_HugePages_Rsvd gauge",
        "node_memory_HugePages_Rsvd 0",
        "# TYPE node_memory_HugePages_Surp gauge",
        "node_memory_HugePages_Surp 0",
        "# TYPE node_memory_Hugepagesize_bytes gauge",
        "node_memory_Hugepagesize_bytes 2097152",
        "# TYPE node_memory_DirectMap4k_bytes gauge",
        "node_memory_DirectMap4k_bytes 25165824",
        "# TYPE node_memory_DirectMap2M_bytes gauge",
        "node_memory_DirectMap2M_bytes 2122317824",
        "# TYPE node_memory_DirectMap1G_bytes gauge",
        "node_memory_DirectMap1G_bytes 25769803776",
    ]


def test_odd_lines_harm_no_other(tmp_path, exposed):
    """Lines that are unknown, empty, without value or in another unit are passed over."""
    (tmp_path / "meminfo").write_text(
        "MemTotal:\nMemFree: 5 MB\nNew(kind): 7 kB\n\n:\nBuffers: 1 kB surplus\nCached: 3 kB\n"
    )
    assert exposed(MeminfoCollector(Paths(procfs=str(tmp_path)))) == [
        "# TYPE node_memory_Cached_bytes gauge",
        "node_memory_Cached_bytes 3072",
    ]


def test_an_empty_file_gives_nothing(tmp_path, exposed):
    """No line, no series: nothing is written as 0."""
    (tmp_path / "meminfo").touch()
    assert exposed(MeminfoCollector(Paths(procfs=str(tmp_path)))) == []
