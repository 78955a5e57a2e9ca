"""Fetches the distribution's own packages and unpacks them: nothing is installed or started."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

from gnomon_stack.trouble import Trouble

# The package that has each program, on Debian and its descendants.
DEBIAN = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
HOMEBREW = {"prometheus": "prometheus", "alertmanager": "alertmanager"}

# What Prometheus' own pages load lies in packages that it depends on; nothing else is needed.
_PAGES = ("libjs-", "fonts-")


def fetch(programs: list[str], unpacked: Path, work: Path) -> None:
    """Unpack the packages of ``programs`` below ``unpacked``; ``work`` is a folder to do it in.

    Needs neither root nor a writable system: where the system's package lists do not serve, apt
    gets lists of its own below ``work``. Raise Trouble with the remedy where there is no apt, no
    network or no such package.
    """
    if platform.system() == "Darwin":
        formulae = " ".join(HOMEBREW[name] for name in programs)
        raise Trouble(f"{_names(programs)} not found on PATH: run `brew install {formulae}`")
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Trouble(
            f"{_names(programs)} not found on PATH, and there is no apt here to fetch from: "
            "put the programs on PATH (https://prometheus.io/download/)"
        )
    shutil.rmtree(work, ignore_errors=True)
    (work / "debs").mkdir(parents=True)
    try:
        _download([DEBIAN[name] for name in programs], work)
        for deb in sorted((work / "debs").glob("*.deb")):
            _run(["dpkg-deb", "--extract", str(deb), str(work / "root")], work)
        _put(work / "root/usr", unpacked / "usr")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(packages: list[str], work: Path) -> None:
    """Put the packages, and what their pages need, into ``work``/debs."""
    try:
        _apt("get", ["download", *packages, *_pages(packages, work)], work)
    except Trouble:
        # No lists yet (a fresh image), or lists that name files which are gone by now.
        for folder in ("lists/partial", "cache/archives/partial"):
            (work / folder).mkdir(parents=True)
        _apt("get", ["update", "-o", "APT::Update::Error-Mode=any"], work)
        _apt("get", ["download", *packages, *_pages(packages, work)], work)


def _pages(packages: list[str], work: Path) -> list[str]:
    """Return the packages with scripts and fonts that ``packages`` need, directly or not."""
    only = ["--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"]
    lines = _apt("cache", ["depends", *only, "--no-replaces", "--no-enhances", *packages], work)
    return sorted({line for line in lines.splitlines() if line.startswith(_PAGES)})


def _apt(tool: str, words: list[str], work: Path) -> str:
    """Run apt-``tool``, with lists below ``work`` once they are there; return what it prints."""
    options = ["-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Timeout=20"]
    if (work / "lists").is_dir():
        options += ["-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}/cache"]
    return _run([f"apt-{tool}", *options, *words], work / "debs")


def _run(words: list[str], folder: Path) -> str:
    """Run a command in ``folder``; return what it prints, or raise Trouble with its reason."""
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Trouble(_why(words, done.stderr))
    return done.stdout


def _why(words: list[str], stderr: str) -> str:
    """Return why a command failed in one line, with the remedy where it is known."""
    if "resolv" in stderr or "Could not connect" in stderr or "Unable to connect" in stderr:
        return (
            "the network cannot be reached to fetch the packages: connect, "
            "or put the programs on PATH"
        )
    if "Unable to locate package" in stderr or "No packages found" in stderr:
        packages = " and ".join(word for word in words if word in DEBIAN.values())
        return f"apt knows no package {packages}: put the program on PATH"
    errors = [line for line in stderr.splitlines() if line.startswith(("E:", "dpkg"))]
    reason = errors[0].removeprefix("E: ") if errors else stderr.strip().partition("\n")[0]
    return f"{words[0]} failed: {reason or 'it does not say why'}"


def _put(source: Path, target: Path) -> None:
    """Merge ``source`` into ``target``, programs last and each at once: a program is complete."""
    (target / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copytree(source / "share", target / "share", symlinks=True, dirs_exist_ok=True)
    for program in (source / "bin").iterdir():
        os.replace(program, target / "bin" / program.name)


def _names(programs: list[str]) -> str:
    return " and ".join(programs) + (" were" if len(programs) > 1 else " was")
