"""The os collector."""

import pytest

from gnomon_exporter.collector import NoData
from gnomon_exporter.collectors.os import OsCollector
from gnomon_exporter.paths import Paths


def _release(root, text, path="etc/os-release"):
    """Write an os-release file below root."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return Paths(str(root))


def _info(**labels):
    """Return the info series' line with some labels set."""
    names = (
        "build_id id id_like image_id image_version name pretty_name variant variant_id version "
        "version_codename version_id"
    )
    inner = ",".join(f'{name}="{labels.get(name, "")}"' for name in names.split())
    return f"node_os_info{{{inner}}} 1"


def test_reports_a_recorded_machine(recorded, exposed):
    """Names and versions are labels, the version is a number too."""
    assert exposed(OsCollector(recorded)) == [
        "# TYPE node_os_info gauge",
        (
            'node_os_info{build_id="",id="debian",id_like="",image_id="",image_version="",'
            'name="Debian GNU/Linux",pretty_name="Debian GNU/Linux 12 (bookworm)",variant="",'
            'variant_id="",version="12 (bookworm)",version_codename="bookworm",'
            'version_id="12"} 1'
        ),
        "# TYPE node_os_version gauge",
        'node_os_version{id="debian",id_like="",name="Debian GNU/Linux"} 12.0',
    ]


def test_reports_every_variable(tmp_path, exposed):
    """Quotes and escapes are a shell's; the end of support is midnight UTC."""
    paths = _release(
        tmp_path,
        "# a comment\n\nNAME='Fedora Linux'\nID=fedora\nID_LIKE=\"rhel centos\"\n"
        'PRETTY_NAME="The \\"Forty\\" \\$1"\nVERSION_ID=40.1.2\nVARIANT=Server\nVARIANT_ID=server\n'
        "BUILD_ID=7\nIMAGE_ID=img\nIMAGE_VERSION=8\nVERSION=40\nVERSION_CODENAME=x\n"
        "SUPPORT_END=2025-05-13\n",
    )
    assert exposed(OsCollector(paths)) == [
        "# TYPE node_os_info gauge",
        _info(
            build_id="7",
            id="fedora",
            id_like="rhel centos",
            image_id="img",
            image_version="8",
            name="Fedora Linux",
            pretty_name='The \\"Forty\\" $1',
            variant="Server",
            variant_id="server",
            version="40",
            version_codename="x",
            version_id="40.1.2",
        ),
        "# TYPE node_os_version gauge",
        'node_os_version{id="fedora",id_like="rhel centos",name="Fedora Linux"} 40.1',
        "# TYPE node_os_support_end_timestamp_seconds gauge",
        "node_os_support_end_timestamp_seconds 1747094400.0",
    ]


def test_a_rolling_distribution_has_no_version(tmp_path, exposed):
    """Without a number there is no version, not a version of 0."""
    for version in ("", "VERSION_ID=\n", "VERSION_ID=rolling\n", "VERSION_ID=0\n"):
        assert len(exposed(OsCollector(_release(tmp_path, f"ID=arch\n{version}")))) == 2


def test_odd_lines_harm_no_other(tmp_path, exposed):
    """A line that a shell would refuse sets nothing; other bytes than UTF-8 are replaced."""
    paths = _release(
        tmp_path, b"NAME=\"open\nVARIANT='\nnonsense\n=x\nID=caf\xe9\n VERSION_ID='7'\n"
    )
    assert exposed(OsCollector(paths))[1] == _info(id="caf\ufffd", version_id="7")


def test_a_bad_date_is_absent_and_fails(tmp_path):
    """What comes before the date stays on the page."""
    families = OsCollector(_release(tmp_path, "ID=a\nSUPPORT_END=soon\n")).collect()
    assert next(families).name == "node_os_info"
    with pytest.raises(ValueError, match="soon"):
        next(families)


def test_the_vendors_file_is_read_when_etc_has_none(tmp_path, exposed):
    """/usr/lib/os-release is the second choice."""
    paths = _release(tmp_path, "ID=vendor\n", "usr/lib/os-release")
    assert exposed(OsCollector(paths))[1] == _info(id="vendor")
    _release(tmp_path, "ID=etc\n")
    assert exposed(OsCollector(paths))[1] == _info(id="etc")


def test_without_a_file_there_is_no_data(tmp_path):
    """The reason names both places."""
    with pytest.raises(NoData, match=r"etc/os-release or .*usr/lib/os-release"):
        list(OsCollector(Paths(str(tmp_path))).collect())
