"""The uname collector."""

import os

from gnomon_exporter.collectors.uname import UnameCollector
from gnomon_exporter.paths import Paths


def _uname():
    return os.uname_result(
        ("Linux", 'host "a"\\b', "6.1.0-38-amd64", "#1 SMP Debian 6.1.147-1", "x86_64")
    )


def test_reports_uname(recorded, exposed):
    """Every field of uname(2) is a label, the domain name too, which Python leaves out."""
    assert exposed(UnameCollector(recorded, _uname=_uname)) == [
        "# TYPE node_uname_info gauge",
        (
            'node_uname_info{sysname="Linux",release="6.1.0-38-amd64",'
            'version="#1 SMP Debian 6.1.147-1",machine="x86_64",nodename="host \\"a\\"\\\\b",'
            'domainname="(none)"} 1'
        ),
    ]


def test_without_the_domain_name_the_rest_is_reported(tmp_path, exposed):
    """A sandbox without /proc/sys gives an empty label."""
    page = exposed(UnameCollector(Paths(str(tmp_path)), _uname=_uname))
    assert page[1].endswith('domainname=""} 1')


def test_reads_this_machine(exposed):
    """The real system call answers."""
    assert f'release="{os.uname().release}"' in exposed(UnameCollector(Paths()))[1]
