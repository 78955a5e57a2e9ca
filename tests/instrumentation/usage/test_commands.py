"""``gnomon usage show`` and ``gnomon usage summary``, as a user types them."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import gnomon
from gnomon.usage.piece import KEYS
from gnomon_stack import home
from gnomon_stack.__main__ import main
from gnomon_stack.trouble import Trouble


@pytest.fixture
def command():
    """Return a function that runs the command and gives what it prints, and its status."""

    def run(*words):
        return CliRunner().invoke(main, ["usage", *map(str, words)])

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder with a batch of three files, as they are left, and one of another's system."""
    folder = tmp_path / "out"
    measure = gnomon.measure("transcribe", log_dir=folder)
    for index in range(3):
        with measure as usage:
            usage.file_id = f"talk-{index}"
    theirs = dict(zip(KEYS, (150.5, 200, 512, 600, 1024, 2048, 55.5, 12.25), strict=True))
    (folder / "theirs.performance.json").write_text(json.dumps(theirs))
    (folder / "talk-0.txt").write_text("hello")
    return folder


def test_one_file(folder, command):
    """Every number stands there by its name, what is unknown as a dash."""
    path = folder / "talk-1.performance.json"
    shown = command("show", path)
    assert shown.exit_code == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    rows = {line[0]: line[-1] for line in lines if len(line) > 1}
    document = json.loads(path.read_text())
    for key in KEYS:
        value = document[key]
        assert rows[key] == ("–" if value is None else f"{value:g}")  # noqa: RUF001
    assert rows["work"] == "transcribe"
    assert json.loads(command("show", path, "--json").stdout) == document


def test_a_batch(folder, command):
    """Each file has its row; JSON has their documents."""
    shown = command("show", folder)
    assert shown.exit_code == 0, shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines() if line.strip()]
    assert [row[0] for row in rows[2:]] == ["talk-0", "talk-1", "talk-2", "theirs"]
    assert rows[-1][1:] == ["12.25", "–", "150", "200", "512", "600", "1,024", "2,048", "56"]  # noqa: RUF001
    documents = json.loads(command("show", folder, "--json").stdout)
    assert [document["file_id"] for document in documents] == [row[0] for row in rows[2:]]
    assert documents[3]["gpu_percent"] == 55.5
    assert documents[3]["own"]["cpu_seconds"] is None


def test_a_summary(tmp_path, command):
    """What the files of one name come to: mean, median, 95 %, largest, and the sum of times."""
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(1, 101):
        numbers = dict.fromkeys(KEYS, float(index)) | {"gpu_percent": None}
        content = {"name": "many", "error_type": "ValueError" if index > 98 else None, **numbers}
        (folder / f"{index}.performance.json").write_text(json.dumps(content))
    (work,) = json.loads(command("summary", folder, "--json").stdout)
    assert (work["name"], work["files"], work["failed"]) == ("many", 100, 2)
    figures = {"known": 100, "mean": 50.5, "median": 50.5, "p95": 95, "max": 100}
    assert work["numbers"]["ram_mb_peak"] == figures
    assert work["numbers"]["processing_time_sec"] == figures | {"sum": 5050}
    assert work["numbers"]["gpu_percent"] is None
    shown = command("summary", folder)
    rows = [line.split() for line in shown.stdout.splitlines() if line.strip()]
    assert rows[0][:4] == ["many:", "100,", "2", "failed"]
    assert ["processing_time_sec", "100", "50.50", "50.50", "95.00", "100.00", "5,050.00"] in rows
    assert ["gpu_percent", "0", *"–" * 5] in rows  # noqa: RUF001


def test_several_names(folder, command):
    """Each name of work has a summary of its own."""
    works = json.loads(command("summary", folder, "--json").stdout)
    assert [(work["name"], work["files"]) for work in works] == [(None, 1), ("transcribe", 3)]


BROKEN = {
    "empty": b"",
    "half": b'{"cpu_percent_avg": 1',
    "list": b"[1, 2]",
    "other": b'{"a": 1}',
    "text": b'{"cpu_percent_avg": "1"}',
    "bool": b'{"cpu_percent_avg": true}',
    "nan": b'{"cpu_percent_avg": NaN}',
    "binary": b"\xff\xfe\0",
    "deep": b"[" * 100_000,
    "large": b'{"cpu_percent_avg": 1, "x": "' + b"x" * (2 << 20) + b'"}',
}


def test_files_that_cannot_be_read(folder, command):
    """They are named and left out, and the others shown."""
    for name, content in BROKEN.items():
        (folder / f"{name}.performance.json").write_bytes(content)
    (folder / "dir.performance.json").mkdir()
    (folder / "gone.performance.json").symlink_to("nowhere")
    shown = command("show", folder, "--json")
    assert shown.exit_code == 0
    assert len(json.loads(shown.stdout)) == 4
    assert shown.stderr.count("left out") == len(BROKEN) + 2
    assert "Traceback" not in shown.stderr
    alone = command("show", folder / "half.performance.json")
    assert (alone.exit_code, alone.stdout) == (1, "")
    assert "it is not JSON" in alone.stderr


def test_nothing_there(tmp_path, command):
    """A folder without such files, and a path that is none, are said so."""
    (tmp_path / "empty").mkdir()
    for verb in ("show", "summary"):
        shown = command(verb, tmp_path / "empty")
        assert shown.exit_code == 1
        assert "ends in .performance.json" in shown.stderr
    assert command("show", tmp_path / "nowhere").exit_code == 2
    assert command("summary", __file__).exit_code == 2


def test_hostile_contents(tmp_path, command):
    """What a file says is no command for the terminal, and no markup."""
    content = dict.fromkeys(KEYS, 1) | {"file_id": "\x1b]0;x\x07[red]a[/red]\n", "name": "\x1b[2J"}
    path = tmp_path / "x.performance.json"
    path.write_text(json.dumps(content))
    for words in (("show", path), ("show", tmp_path), ("summary", tmp_path)):
        shown = command(*words).stdout
        assert "\x1b" not in shown
        assert "\x07" not in shown
    assert "[red]a[/red]" in command("show", path).stdout


def test_outside_of_any_checkout(folder, command, monkeypatch):
    """These commands read files and need nothing of the stack's."""

    def nowhere(_start):
        raise Trouble("no checkout")

    monkeypatch.setattr(home, "find", nowhere)
    assert command("show", folder).exit_code == 0


def test_as_a_program(folder, tmp_path):
    """The command is there, and what it prints is whole where nobody looks."""
    shown = subprocess.run(
        [sys.executable, "-m", "gnomon_stack", "usage", "show", str(folder)],
        capture_output=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"LC_ALL": "C", "COLUMNS": "20"},
    )
    assert b"talk-0" in shown.stdout
    assert b"VRAM MiB" in shown.stdout
