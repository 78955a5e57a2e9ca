"""Fetching programs from the distribution, with the real apt and a repository of the test's own."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import servers
from gnomon_stack import packages
from gnomon_stack.trouble import Trouble

TEMPLATES = "usr/share/prometheus/alertmanager"


class Repository:
    """A folder of packages that apt takes for the distribution."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "Packages").touch()
        (folder / "status").touch()
        self.source(f"file:{folder}")

    def source(self, address: str) -> None:
        """Let apt look for packages at ``address``."""
        (self.folder / "sources.list").write_text(f"deb [trusted=yes] {address} ./\n")
        state = self.folder / "state"
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "apt.conf").write_text(
            f'Dir::Etc::SourceList "{self.folder}/sources.list";\n'
            'Dir::Etc::SourceParts "-";\n'
            f'Dir::State::Lists "{state}/lists";\n'
            f'Dir::State::Status "{self.folder}/status";\n'
            f'Dir::Cache "{state}/cache";\n'
        )

    def add(self, name: str, files: dict[str, str], depends: str = "") -> None:
        """Make a package of programs and other files."""
        root = self.folder / f"{name}.root"
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
            (root / path).chmod(0o755 if path.startswith("usr/bin") else 0o644)
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@b>\n"
        control += f"Depends: {depends}\n" if depends else ""
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN/control").write_text(f"{control}Description: none\n")
        deb = self.folder / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--build", root, deb], check=True, capture_output=True)
        shutil.rmtree(root)
        with (self.folder / "Packages").open("a") as index:
            index.write(
                f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\n"
                f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\nDescription: none\n\n"
            )


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository that this test's apt looks into, and no other."""
    for name in ("apt-get", "dpkg-deb"):
        servers.program(name)
    made = Repository(tmp_path / "repository")
    monkeypatch.setenv("APT_CONFIG", str(made.folder / "apt.conf"))
    return made


def test_packages_are_unpacked_with_what_their_pages_need(repository, tmp_path):
    """Programs, templates, and scripts and fonts from further packages; nothing else is taken."""
    repository.add(
        "prometheus", {"usr/bin/prometheus": "#!/bin/sh\necho it runs\n"}, "libjs-one, adduser"
    )
    repository.add("prometheus-alertmanager", {f"{TEMPLATES}/default.tmpl": "t"}, "tzdata")
    repository.add("libjs-one", {"usr/share/javascript/one.js": "1"}, "fonts-two")
    repository.add("fonts-two", {"usr/share/fonts/two": "2"})
    repository.add("adduser", {"usr/bin/adduser": "never"})
    packages.fetch(["prometheus", "alertmanager"], tmp_path / "programs", tmp_path / "work")
    found = {
        str(path.relative_to(tmp_path / "programs/usr"))
        for path in (tmp_path / "programs").rglob("*")
        if path.is_file()
    }
    assert found == {
        "bin/prometheus",
        "share/javascript/one.js",
        "share/fonts/two",
        "share/prometheus/alertmanager/default.tmpl",
    }
    program = tmp_path / "programs/usr/bin/prometheus"
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"it runs\n"
    assert not (tmp_path / "work").exists()


def test_a_later_package_joins_the_earlier_ones(repository, tmp_path):
    """Fetching Alertmanager keeps Prometheus, in a path with every kind of character."""
    programs = tmp_path / "a b,c:d"
    repository.add("prometheus", {"usr/bin/prometheus": "p", "usr/share/doc/p": "p"})
    repository.add(
        "prometheus-alertmanager",
        {"usr/bin/prometheus-alertmanager": "a", f"{TEMPLATES}/default.tmpl": "t"},
    )
    packages.fetch(["prometheus"], programs, tmp_path / "work")
    packages.fetch(["alertmanager"], programs, tmp_path / "work")
    assert sorted(path.name for path in (programs / "usr/bin").iterdir()) == [
        "prometheus",
        "prometheus-alertmanager",
    ]
    assert (programs / "usr/share/doc/p").exists()


def test_no_such_package_is_one_line(repository, tmp_path):
    """What apt knows nothing of is named, with the way out."""
    repository.add("other", {"usr/bin/other": "o"})
    with pytest.raises(Trouble, match="apt knows no package prometheus: put") as trouble:
        packages.fetch(["prometheus"], tmp_path / "programs", tmp_path / "work")
    assert str(trouble.value).count("\n") == 0
    assert not (tmp_path / "programs").exists()


def test_what_apt_says_of_a_damaged_package_is_one_line(repository, tmp_path):
    """A file that is not what the index promises is not unpacked."""
    repository.add("prometheus", {"usr/bin/prometheus": "p"})
    with (repository.folder / "prometheus.deb").open("ab") as deb:
        deb.write(b"more")
    with pytest.raises(Trouble, match="apt-get failed: ") as trouble:
        packages.fetch(["prometheus"], tmp_path / "programs", tmp_path / "work")
    assert str(trouble.value).count("\n") == 0
    assert not (tmp_path / "programs").exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/debian", "http://no-such-host.invalid/"])
def test_no_network_is_one_line(repository, tmp_path, address):
    """Nobody there and no name for it are the same to the user."""
    repository.source(address)
    with pytest.raises(Trouble, match="the network cannot be reached") as trouble:
        packages.fetch(["prometheus"], tmp_path / "programs", tmp_path / "work")
    assert str(trouble.value).count("\n") == 0


def test_no_apt_is_one_line(tmp_path, monkeypatch):
    """On other distributions the programs have to be on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Trouble, match="prometheus and alertmanager were not found") as trouble:
        packages.fetch(["prometheus", "alertmanager"], tmp_path / "programs", tmp_path / "work")
    assert "there is no apt here" in str(trouble.value)
    assert str(trouble.value).count("\n") == 0


def test_macos_is_told_the_homebrew_packages(tmp_path, monkeypatch):
    """There the packages have other names."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(Trouble, match="run `brew install prometheus alertmanager`"):
        packages.fetch(["prometheus", "alertmanager"], tmp_path / "programs", tmp_path / "work")


def test_up_says_what_it_lacks_where_there_is_no_apt(checkout):
    """The command ends with one line, and nothing runs."""
    programs = checkout.home.programs
    if programs.is_symlink():
        programs.unlink()
    checkout.env["PATH"] = str(checkout.home.root)
    done = checkout.run("up")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "there is no apt here" in done.stderr
    assert os.listdir(checkout.home.log) == []
