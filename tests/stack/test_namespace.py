"""A merely unpacked program sees its files where its package would have put them."""

import io
import os
import subprocess
import sys

import pytest

import servers
from gnomon_stack import namespace, programs, templates


@pytest.fixture
def share(tmp_path):
    """A folder to lay over /usr/share, at a path that mount's options could trip over."""
    if not namespace.available():
        pytest.skip("this user may make no mount namespace here")
    folder = tmp_path / "a b,c:d\\e/usr/share"
    (folder / "gnomon-test").mkdir(parents=True)
    (folder / "gnomon-test/file").write_text("unpacked")
    return folder


def test_the_program_sees_both_and_nobody_else_does(share, tmp_path):
    """Its package's files and the system's; it runs where it was started, under its own id."""
    script = (
        "cat /usr/share/gnomon-test/file; ls -d /usr/share/doc; pwd; touch made; "
        'echo "$$ $1"; exit 7'
    )
    words = namespace.with_share(share, ["sh", "-c", script, "sh", "an argument"])
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 7
    assert output == (f"unpacked/usr/share/doc\n{tmp_path}\n{process.pid} an argument\n")
    assert (tmp_path / "made").stat().st_uid == os.getuid()
    assert not os.path.exists("/usr/share/gnomon-test")


@pytest.mark.usefixtures("share")
def test_where_namespaces_are_off_there_is_none():
    """The probe tries it for real."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"'
    probe = "from gnomon_stack import namespace; print(namespace.available())"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, sys.executable, "-c", probe],
        env={**os.environ, "PYTHONPATH": str(servers.ROOT / "stack")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_only_unpacked_programs_get_a_namespace(share):
    """What comes from PATH has its files in place."""
    unpacked = share.parent.parent
    assert programs.command("/usr/bin/env", unpacked, lead=("nice",)) == ["nice", "/usr/bin/env"]
    words = programs.command(str(unpacked / "usr/bin/x"), unpacked, lead=("nice",))
    assert words[0] == "unshare"
    assert words[-2:] == ["nice", str(unpacked / "usr/bin/x")]


def test_path_comes_before_what_is_unpacked(tmp_path, monkeypatch):
    """And the project's own name before the distribution's."""
    unpacked, path = tmp_path / "programs", tmp_path / "path"
    for program in (
        unpacked / "usr/bin/alertmanager",
        path / "alertmanager",
        path / "prometheus-alertmanager",
    ):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(path))
    assert programs.find("alertmanager", unpacked) == str(path / "alertmanager")
    (path / "alertmanager").unlink()
    assert programs.find("alertmanager", unpacked) == str(path / "prometheus-alertmanager")
    (path / "prometheus-alertmanager").unlink()
    assert programs.find("alertmanager", unpacked) == str(unpacked / "usr/bin/alertmanager")
    assert programs.find("prometheus", unpacked) is None


@pytest.fixture
def unpacked(tmp_path):
    """An unpacked Alertmanager's two templates."""
    folder = tmp_path / "programs/usr/share/prometheus/alertmanager"
    folder.mkdir(parents=True)
    for name in ("default.tmpl", "email.tmpl"):
        (folder / name).write_text(name)
    (folder / "generate-ui.sh").touch()
    return tmp_path / "programs"


def test_without_a_namespace_root_copies_the_templates(unpacked, tmp_path, monkeypatch):
    """What is asked of root is said before sudo is called, and it is two files."""
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] || exit 9\nshift\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    said, place = [], tmp_path / "place"
    assert not templates.in_place(unpacked, str(place))
    assert templates.install(unpacked, said.append, str(place))
    assert templates.in_place(unpacked, str(place))
    assert sorted(os.listdir(place)) == ["default.tmpl", "email.tmpl"]
    assert said[0].startswith("Root is needed once, to copy Alertmanager's two templates")
    assert said[1].startswith(f"  sudo -n install -D -m 644 -t {place}")


def test_without_sudo_nobody_is_asked(unpacked, tmp_path, monkeypatch):
    """Then Alertmanager is left out, and `gnomon up` names the command for root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said = []
    assert not templates.install(unpacked, said.append, str(tmp_path / "place"))
    assert said == []
