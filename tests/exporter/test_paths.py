"""Where the host is seen from here."""

import os

import pytest

from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read


def test_the_network_is_that_of_the_first_process(tmp_path):
    """A container's own network is not taken for the host's."""
    (tmp_path / "1/net").mkdir(parents=True)
    (tmp_path / "1/net/dev").touch()
    assert Paths(procfs=str(tmp_path)).net("snmp6") == f"{tmp_path}/1/net/snmp6"


def test_the_network_is_our_own_where_the_first_process_is_hidden(tmp_path):
    """An option of /proc, hidepid, hides pid 1 from ordinary users, who still have a network."""
    assert Paths(procfs=str(tmp_path)).net("snmp6") == f"{tmp_path}/self/net/snmp6"


@pytest.mark.skipif(not os.path.exists("/proc/self/net/dev"), reason="Linux only")
def test_this_hosts_network_is_readable():
    """On a real host the answer is a file that can be read."""
    assert "lo:" in read(Paths().net("dev"))
