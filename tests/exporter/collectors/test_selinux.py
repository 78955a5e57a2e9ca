"""The selinux collector."""

import shutil

import pytest

from gnomon_exporter.collectors.selinux import SelinuxCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def changeable(tmp_path, metal):
    """Return a copy of the machine with SELinux, as its folder and as paths."""
    root = tmp_path / "host"
    shutil.copytree(metal.root("/"), root, symlinks=True)
    return root, Paths(str(root))


def test_off_is_said(recorded, exposed):
    """A kernel without selinuxfs has it disabled, and no modes."""
    assert exposed(SelinuxCollector(recorded)) == [
        "# TYPE node_selinux_enabled gauge",
        "node_selinux_enabled 0",
    ]


def test_on_has_both_modes(metal, exposed):
    """What is in force and what the configuration asks for may differ."""
    assert exposed(SelinuxCollector(metal)) == [
        "# TYPE node_selinux_enabled gauge",
        "node_selinux_enabled 1",
        "# TYPE node_selinux_config_mode gauge",
        "node_selinux_config_mode 0",
        "# TYPE node_selinux_current_mode gauge",
        "node_selinux_current_mode 1",
    ]


def test_without_a_policy_it_is_off(changeable, exposed):
    """A mounted selinuxfs without a loaded policy protects nothing."""
    root, paths = changeable
    (root / "proc/self/attr/current").write_text("kernel\0")
    assert exposed(SelinuxCollector(paths))[1:] == ["node_selinux_enabled 0"]


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ("SELINUX=enforcing\n", 1),
        ("SELINUX = 'Permissive' \n", 0),
        ("SELINUX=disabled\n", -1),
        ("SELINUXTYPE=targeted\n#SELINUX=enforcing\n", -1),
        ("\xff=\nSELINUX=enforcing", 1),
    ],
)
def test_reads_the_configured_mode(changeable, exposed, config, mode):
    """Anything but the two modes is disabled, as for libselinux."""
    root, paths = changeable
    (root / "etc/selinux/config").write_text(config, encoding="latin-1")
    assert f"node_selinux_config_mode {mode}" in exposed(SelinuxCollector(paths))


def test_without_configuration_the_mode_is_absent(changeable, exposed):
    """What cannot be read is left out, the rest stays."""
    root, paths = changeable
    (root / "etc/selinux/config").unlink()
    assert exposed(SelinuxCollector(paths)) == [
        "# TYPE node_selinux_enabled gauge",
        "node_selinux_enabled 1",
        "# TYPE node_selinux_current_mode gauge",
        "node_selinux_current_mode 1",
    ]
