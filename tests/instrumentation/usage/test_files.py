"""The file that a piece of work leaves."""

import errno
import json
import os
import subprocess
import sys
import threading
from datetime import datetime

import pytest

import gnomon
from gnomon import guard
from gnomon.usage import files
from gnomon.usage.piece import KEYS


def faults():
    """Return how often writing such a file failed."""
    (family,) = guard.families()
    return sum(s.value for s in family.samples if s.labels["where"] == "usage file")


def left(folder):
    """Return the names of all that lies in a folder."""
    return sorted(os.listdir(folder))


def test_eight_numbers_and_what_was_its_own(tmp_path):
    """The file has the numbers at its top, as the transcription system's has them."""
    folder = tmp_path / "made" / "here"
    with gnomon.measure("transcribe", log_dir=folder, file_id="talk-1") as usage:
        pass
    assert left(folder) == ["talk-1.performance.json"]
    document = json.loads((folder / "talk-1.performance.json").read_text())
    assert {key: document[key] for key in KEYS} == usage.as_dict()
    assert document["own"] == usage.own.as_dict()
    assert document["file_id"] == "talk-1"
    assert document["name"] == "transcribe"
    assert document["error_type"] is None
    assert datetime.fromisoformat(document["finished_at"]).utcoffset().seconds == 0


def test_failed_work_leaves_its_numbers_too(tmp_path):
    """They say by which type of exception it ended."""
    measure = gnomon.measure("transcribe", log_dir=tmp_path, file_id="bad")
    with pytest.raises(OSError, match="unreadable"), measure:
        raise OSError("unreadable")
    assert json.loads((tmp_path / "bad.performance.json").read_text())["error_type"] == "OSError"


def test_id_by_arguments_later_or_made_up(tmp_path):
    """A decorated function's arguments name the file, a block may name it late, or nobody does."""

    @gnomon.measure("transcribe", log_dir=tmp_path, file_id=lambda path, **_: path.stem)
    def transcribe(path, language="en"):
        return path, language

    @gnomon.measure("transcribe", log_dir=tmp_path, file_id=lambda: 1 / 0)
    def broken(path):
        return path

    assert transcribe(tmp_path / "one.wav") == (tmp_path / "one.wav", "en")
    with gnomon.measure("transcribe", log_dir=tmp_path) as usage:
        usage.file_id = "two"
    assert left(tmp_path) == ["one.performance.json", "two.performance.json"]
    with gnomon.measure("transcribe", log_dir=tmp_path) as usage:
        pass
    assert f"{usage.file_id}.performance.json" in left(tmp_path)
    assert broken(1) == 1
    assert len(left(tmp_path)) == 4


HOSTILE = (
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    ".hidden",
    "a/b",
    "a\\b",
    "C:\\x",
    "nul\0byte",
    "new\nline",
    "\x1b[31mred",
    "x" * 5000,
    "ü" * 500,
    "\ud800",
    "a b",
    "*?<>|\"'$(id)",
    "~root",
    "-rf",
)


@pytest.mark.parametrize("file_id", HOSTILE)
def test_hostile_id(tmp_path, file_id):
    """Whatever the id, there is one file, in the folder itself, and not a hidden one."""
    folder = tmp_path / "logs"
    before = faults()
    with gnomon.measure("transcribe", log_dir=folder, file_id=file_id):
        pass
    assert faults() == before
    assert left(tmp_path) == ["logs"]
    (name,) = left(folder)
    assert name.endswith(".performance.json")
    assert not name.startswith(".")
    assert len(os.fsencode(name)) <= 255
    assert json.loads((folder / name).read_text())["name"] == "transcribe"


def test_different_ids_have_different_files():
    """What had to be changed is told apart by a hash; what had not, stays as it is."""
    names = {files.safe(file_id) for file_id in (*HOSTILE, "a_b", "etc_passwd", "x" * 180)}
    assert len(names) == len(HOSTILE) + 3
    assert files.safe("talk-1_2.final") == "talk-1_2.final"
    assert files.safe("Gespräch") == "Gespräch"


def test_what_lies_there_is_replaced_at_once(tmp_path):
    """A reader sees a whole document at any moment; a link is replaced, not followed."""
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "talk.performance.json").symlink_to(target)
    measure = gnomon.measure("transcribe", log_dir=tmp_path, file_id="talk")
    with measure:
        pass
    assert target.read_text() == "mine"
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append(json.loads((tmp_path / "talk.performance.json").read_text())["name"])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(100):
        with measure:
            pass
    stop.set()
    reader.join(20)
    assert set(seen) == {"transcribe"}
    assert left(tmp_path) == ["talk.performance.json", "target"]


def test_folder_that_cannot_be_written(tmp_path):
    """It is counted, the work goes on, and the numbers are there."""
    (tmp_path / "file").write_text("no folder")
    before = faults()
    with gnomon.measure("transcribe", log_dir=tmp_path / "file", file_id="x") as usage:
        pass
    assert faults() == before + 1
    assert usage.as_dict()["processing_time_sec"] >= 0
    assert left(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["write", "replace"])
def test_disk_full(tmp_path, monkeypatch, call):
    """There is no half a file, what was there stays, and nothing is raised."""
    measure = gnomon.measure("transcribe", log_dir=tmp_path, file_id="talk")
    with measure as usage:
        pass
    document = files.content(usage, None)

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        # A file may not grow beyond this: write(2) fails as it does on a full disk.
        program = f"""if True:
            import resource, signal
            from gnomon.usage import files
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            try:
                files.write({str(tmp_path)!r}, "talk", {document!r})
            except OSError as error:
                print(error.errno)
        """
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
        )
        assert int(done.stdout) == errno.EFBIG
        monkeypatch.setattr(files, "write", full)
    before = faults()
    with measure:
        pass
    assert faults() == before + 1
    assert left(tmp_path) == ["talk.performance.json"]
    assert json.loads((tmp_path / "talk.performance.json").read_text()) == document | {
        "finished_at": json.loads((tmp_path / "talk.performance.json").read_text())["finished_at"]
    }


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_disk_that_really_is_full(tmp_path):
    """On a full file system of its own: counted, nothing raised, nothing left behind."""
    program = f"""if True:
        import gnomon, os
        from gnomon import guard
        room = os.statvfs({str(tmp_path)!r}).f_bavail
        with open({str(tmp_path / "filler")!r}, "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass
        with gnomon.measure("transcribe", log_dir={str(tmp_path)!r}, file_id="talk"):
            pass
        (family,) = guard.families()
        print([s.value for s in family.samples if s.labels["where"] == "usage file"])
        print(sorted(os.listdir({str(tmp_path)!r})))
    """
    mount = f'mount -t tmpfs -o size=64k none "{tmp_path}" || exit 77; exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, sys.executable, program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    assert done.stdout == "[1]\n['filler']\n", done.stderr
