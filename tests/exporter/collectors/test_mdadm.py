"""The mdadm collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.mdadm import MdadmCollector
from gnomon_exporter.paths import Paths


@pytest.fixture
def host(tmp_path):
    """Return a function that gives the paths of a host with this mdstat and these arrays in /sys.

    An array is a dictionary of its attributes.
    """

    def paths(mdstat="", **arrays):
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/mdstat").write_text(mdstat)
        for name, attributes in arrays.items():
            (tmp_path / "sys/block" / name / "md").mkdir(parents=True)
            for attribute, value in attributes.items():
                (tmp_path / "sys/block" / name / "md" / attribute).write_text(f"{value}\n")
        return Paths(str(tmp_path))

    return paths


def _values(lines, device="md0"):
    """Return the samples of one array: name, and state if it has one, to value."""
    values = {}
    for line in lines:
        if f'device="{device}"' in line:
            name = line.split("{")[0].removeprefix("node_md_")
            state = line.partition('state="')[2].partition('"')[0]
            values[f"{name} {state}".strip()] = line.rpartition(" ")[2]
    return values


def test_reports_an_array_that_recovers(metal, exposed):
    """Its failed and spare disks, its state, and how far it has come."""
    assert _values(exposed(MdadmCollector(metal)), "md1") == {
        "disks_required": "3",
        "disks active": "2",
        "disks failed": "1",
        "disks spare": "1",
        "state active": "0",
        "state inactive": "0",
        "state recovering": "1",
        "state resync": "0",
        "state check": "0",
        "blocks": "20953088",
        "blocks_synced": "1321088",
        "raid_disks": "3",
        "degraded": "1",
    }


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("md0", (["active"], "1046528", "2")),
        ("md2", (["active"], "41906176", "2")),
        ("md3", (["resync"], "0", "4")),
        ("md4", (["check"], "44032", "4")),
        ("md5", ([], "104765", "4")),
        ("md127", (["inactive"], "2096", "0")),
    ],
)
def test_states(metal, exposed, device, expected):
    """Complete, without redundancy, waiting, checked, reshaped and inactive arrays."""
    values = _values(exposed(MdadmCollector(metal)), device)
    states = ("active", "inactive", "recovering", "resync", "check")
    current = [name for name in states if values[f"state {name}"] == "1"]
    assert (current, values["blocks_synced"], values["disks active"]) == expected


def test_the_order_and_types_of_the_page(host, exposed):
    """Gauges all, each family once."""
    mdstat = "md0 : active raid1 sdb[1] sda[0]\n      8 blocks [2/2] [UU]\n"
    lines = exposed(MdadmCollector(host(mdstat, md0={"level": "raid1", "raid_disks": 2})))
    assert [line for line in lines if line.startswith("#")] == [
        f"# TYPE node_md_{name} gauge"
        for name in ("disks_required", "disks", "state", "blocks", "blocks_synced", "raid_disks")
    ]


@pytest.mark.parametrize(
    ("attributes", "disks", "degraded"),
    [
        ({"level": "raid1", "raid_disks": "2", "degraded": "1"}, "2", "1"),
        ({"level": "raid5", "raid_disks": "4 (3)", "degraded": "0"}, "4", "0"),
        ({"level": "raid0", "raid_disks": "2"}, "2", "0"),
        ({"level": "container", "raid_disks": "0"}, None, "0"),
        ({"level": "", "raid_disks": ""}, None, "0"),
        ({"level": "raid6", "raid_disks": "x", "degraded": "x"}, None, None),
        ({"level": "raid6"}, None, None),
        ({"raid_disks": "2"}, None, None),
    ],
)
def test_disks_in_sys(host, exposed, attributes, disks, degraded):
    """A level without redundancy lacks none; what cannot be read is absent."""
    values = _values(exposed(MdadmCollector(host(md0=attributes))))
    assert (values.get("raid_disks"), values.get("degraded")) == (disks, degraded)


@pytest.mark.parametrize(
    "mdstat",
    [
        "",
        "Personalities : [raid1] [raid6]\nunused devices: <none>\n",
        "Personalities : \nunused devices: <none>\n",
        "      a line without an array\n\n",
        "rubbish\nmd0 :\n",
    ],
)
def test_no_array_no_series(host, exposed, mdstat):
    """The driver is loaded, but nothing uses it."""
    assert exposed(MdadmCollector(host(mdstat))) == []


def test_lines_of_another_kind_do_not_take_the_rest_along(host, exposed):
    """What an array's lines do not tell is absent; the next one is whole."""
    mdstat = (
        "md0 : active faulty sda[0]\n"
        "      some blocks nfaults=0\n"
        "      [>....]  recovery = what?\n"
        "md1 : active raid1\n"
        "md2 : active raid1 sda[0] sdb[1]\n"
        "      8 blocks [2/2] [UU]\n"
        "      \tresync=REMOTE\n"
    )
    lines = exposed(MdadmCollector(host(mdstat)))
    first, second, third = (_values(lines, f"md{number}") for number in range(3))
    assert (first["state recovering"], first["disks failed"]) == ("1", "0")
    assert not {"disks_required", "disks active", "blocks", "blocks_synced"} & set(first)
    assert second["state active"] == "1"
    assert "blocks" not in second
    assert (third["state resync"], third["blocks"], third["disks active"]) == ("1", "8", "2")
    assert "blocks_synced" not in third


def test_no_driver_no_data(tmp_path):
    """Without /proc/mdstat there cannot be an array."""
    with pytest.raises(NoData, match="md driver"):
        list(MdadmCollector(Paths(str(tmp_path))).collect())
