"""Run Starlette's and FastAPI's own tests with Gnomon around every application.

Their source distributions, of the versions in constraints.txt, are fetched and unpacked under
.stack/suites, each with an environment of its own that has what its tests ask for. Each suite runs
twice, as it is and with the plugin of ``instrument_all``; what fails only then is ours. Run by
``make bench-suites``; names of suites on its own command line choose among them. The exit status
is 1 if something fails because of us that is not listed below.
"""

import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parent
SUITES = ROOT / ".stack" / "suites"

#: Each suite's group of packages for tests.
GROUPS = {"starlette": "dev", "fastapi": "tests"}

_TRACER = "counts the tracers that FastAPI itself asks for; with Gnomon the spans are Gnomon's"

#: The ends of the names of tests that cannot pass, and why.
EXPECTED: dict[str, dict[str, str]] = {
    "starlette": {},
    "fastapi": {
        "lookup_preserves_warning_deduplication[http-True]": _TRACER,
        "lookup_preserves_warning_deduplication[websocket-True]": _TRACER,
        "test_runtime.test_concurrent_provider_owner_wins[False]": _TRACER,
        "test_runtime.test_concurrent_provider_owner_wins[True]": _TRACER,
    },
}


def unpacked(name: str) -> Path:
    """Return the folder of a suite's sources, fetched if need be."""
    found = re.search(rf"^{name}==(\S+)$", _pins(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"constraints.txt does not pin {name}")
    folder = SUITES / f"{name}-{found[1]}"
    if not folder.exists():
        words = ["download", "--quiet", "--no-deps", "--no-binary", name, "--dest", str(SUITES)]
        _pip(sys.executable, *words, f"{name}=={found[1]}")
        with tarfile.open(SUITES / f"{folder.name}.tar.gz") as archive:
            archive.extractall(SUITES, filter="data")
    return folder


def environment(name: str, folder: Path) -> str:
    """Return the Python that has a suite's test packages, its sources and this checkout."""
    python = folder / ".venv" / "bin" / "python"
    if not (folder / ".venv" / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
        _pip(str(python), "install", "--quiet", "--upgrade", "pip>=25.1")  # knows groups
        group = f"{folder / 'pyproject.toml'}:{GROUPS[name]}"
        constraints = str(ROOT / "constraints.txt")
        extras = "[full]" if name == "starlette" else "[standard]"
        # Of what both ask for; the rest is as the suite wants it.
        shared = folder / ".venv" / "constraints.txt"
        shared.write_text("\n".join(re.findall("^opentelemetry.*$", _pins(), re.MULTILINE)))
        words = ["--group", group, "pytest-timeout", "-c", str(shared)]
        _pip(str(python), "install", "--quiet", *words)
        _pip(str(python), "install", "--quiet", f"{folder}{extras}")
        _pip(str(python), "install", "--quiet", "-c", constraints, "--editable", f"{ROOT}[fastapi]")
        (folder / ".venv" / "ready").touch()
    return str(python)


def _pins() -> str:
    return (ROOT / "constraints.txt").read_text()


def _pip(python: str, *words: str) -> None:
    subprocess.run([python, "-m", "pip", *words, "--disable-pip-version-check"], check=True)


def run(python: str, folder: Path, *options: str) -> tuple[int, set[str]]:
    """Run a suite; return how many tests passed, and the names of those that did not."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    # A suite's own deadlines, of seconds, are for a machine that has nothing else to do.
    words = [python, "-m", "pytest", "tests", "-q", "--tb=short", "--timeout=300"]
    words += [f"--junitxml={report}", "-p", "no:cacheprovider", *options]
    with (folder / "output.txt").open("w") as output:
        subprocess.run(
            words,
            cwd=folder,
            check=False,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(HERE), "HOME": str(folder)},
        )
    if not report.exists():
        raise SystemExit((folder / "output.txt").read_text()[-2000:])
    passed, failed = 0, set()
    for case in ET.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(f"{case.get('classname')}.{case.get('name')}")
        elif case.find("skipped") is None:
            passed += 1
    return passed, failed


def main() -> int:
    """Run both suites both ways, and return 1 if something fails because of us."""
    SUITES.mkdir(parents=True, exist_ok=True)
    table = Table("", "as it is", "failed", "instrumented", "failed", "of these ours")
    console = Console()
    ours: list[str] = []
    for name in sys.argv[1:] or EXPECTED:
        expected = EXPECTED[name]
        folder = unpacked(name)
        python = environment(name, folder)
        before, broken = run(python, folder)
        after, failed = run(python, folder, "-p", "instrument_all")
        new = failed - broken
        table.add_row(folder.name, *map(str, (before, len(broken), after, len(failed), len(new))))
        ends = tuple(expected)
        ours += sorted(f"{name}: {test}" for test in new if not ends or not test.endswith(ends))
    console.print(table)
    for line in ours:
        console.print(f"fails with us only: {line}", style="red")
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main())
