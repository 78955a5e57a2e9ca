"""`/transcribe`: recordings in, transcripts out, the eight numbers beside them."""

import contextlib
import json
import re
import socket

import pytest

from gnomon_demo.batches import NUMBERS, summary
from gnomon_demo.tones import tone
from gnomon_demo.uploads import LARGEST


def test_a_recording_is_answered_with_transcript_and_eight_numbers(desk, wav, sound):
    """The same lie in the folder, in two files of one name."""
    data = wav(sound(2, (0.5, 1.5, 440)))
    answer = desk.post("/transcribe", files={"file": ("call.wav", data)})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    [segment] = found["segments"]
    assert (segment["start"], segment["end"]) == pytest.approx((0.5, 1.5), abs=0.02)
    assert segment["pitch_hz"] == pytest.approx(440, rel=0.02)
    assert found["performance"].keys() == set(NUMBERS)
    assert found["performance"]["processing_time_sec"] > 0
    assert found["performance"]["ram_mb_peak"] > 10
    folder = desk.data / "transcripts"
    assert (folder / f"{found['id']}.txt").read_text() == found["text"]
    written = json.loads((folder / f"{found['id']}.performance.json").read_text())
    assert {number: written[number] for number in NUMBERS} == found["performance"]
    assert written["own"]["cpu_seconds"] > 0
    again = desk.get(f"/transcribe/{found['id']}").json()
    assert again["text"] == found["text"]
    assert again["name"] == "call.wav"


def test_a_batch_is_worked_off_and_summed_up(desk, eventually):
    """Each file has its numbers; the batch has their sum, means and peaks."""
    batch = desk.send(*((f"{n}.wav", tone(1 + n)) for n in range(4)), priority="high")
    found = desk.done(batch)
    assert [file["state"] for file in found["files"]] == ["done"] * 4
    assert sorted(file["seconds"] for file in found["files"]) == [1, 2, 3, 4]
    assert sorted(file["segments"] for file in found["files"]) == [1, 2, 3, 4]
    assert all(file["performance"].keys() >= set(NUMBERS) for file in found["files"])
    times = [file["performance"]["processing_time_sec"] for file in found["files"]]
    assert found["summary"]["processing_time_sec"] == pytest.approx(sum(times), abs=0.001)
    assert found["summary"]["seconds"] == 10
    peaks = [file["performance"]["ram_mb_peak"] for file in found["files"]]
    assert found["summary"]["ram_mb_peak"] == max(peaks)
    eventually(lambda: not list((desk.data / "uploads").glob("*")))


def test_a_summary_leaves_out_what_is_not_known():
    """Peaks are the largest, time is the sum, the rest are means; null where nothing is known."""
    numbers = dict.fromkeys(NUMBERS)
    files = [
        {"state": "done", "seconds": 2.0, "performance": {**numbers, "cpu_percent_avg": 10.0}},
        {
            "state": "done",
            "seconds": 3.0,
            "performance": {
                **numbers,
                "cpu_percent_avg": 30.0,
                "cpu_percent_max": 70.0,
                "processing_time_sec": 0.5,
            },
        },
        {"state": "queued", "seconds": None, "performance": None},
    ]
    found = summary(files)
    assert found["cpu_percent_avg"] == 20
    assert found["cpu_percent_max"] == 70
    assert found["processing_time_sec"] == 0.5
    assert found["gpu_percent"] is None
    assert (found["files"], found["done"], found["failed"], found["seconds"]) == (3, 2, 0, 5)


def test_a_file_that_is_no_recording_fails_alone(desk, eventually):
    """It is tried once, for another try would hear no more, and says why."""
    found = desk.done(desk.send(("good.wav", tone(1)), ("bad.wav", b"no sound at all")))
    files = {file["name"]: file for file in found["files"]}
    assert files["good.wav"]["state"] == "done"
    assert files["bad.wav"]["state"] == "failed"
    assert files["bad.wav"]["tries"] == 1
    assert "not a WAV file" in files["bad.wav"]["error"]
    assert desk.metric("gnomon_queue_dead_total", queue="transcriptions") >= 1
    eventually(lambda: not list((desk.data / "uploads").glob("*")))


def test_progress_is_told_until_the_end(desk):
    """Server-sent events, the last of which says that all is done."""
    batch = desk.send(*((f"{n}.wav", tone(5)) for n in range(5)))
    with desk.http.stream("GET", f"/transcribe/batches/{batch}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = list(stream.iter_lines())
    told = [json.loads(line[6:]) for line in lines if re.match('data: {"', line)]
    assert told[-1] == {"done": 5}
    assert lines[-3:] == ["event: done", "data: {}", ""]


def test_the_queue_s_numbers_are_those_of_what_was_sent(desk):
    """Submitted, completed and waited, by priority."""
    before = {p: submitted(desk, p) for p in ("high", "normal", "low")}
    desk.done(desk.send(("a.wav", tone(1)), ("b.wav", tone(1)), priority="low"))
    desk.done(desk.send(("c.wav", tone(1)), priority="high"))
    after = {p: submitted(desk, p) for p in ("high", "normal", "low")}
    assert {p: after[p] - before[p] for p in after} == {"high": 1, "normal": 0, "low": 2}
    waited = desk.metric("gnomon_queue_wait_seconds_count", queue="transcriptions")
    assert waited >= sum(after.values())
    assert desk.metric("gnomon_queue_depth", queue="transcriptions") == 0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no sound", "not a WAV file"),
        (tone(1)[:5000], "truncated"),
        (tone(1)[:40] + (1 << 30).to_bytes(4, "little") + tone(1)[44:], "truncated"),
        (tone(0), "empty"),
    ],
    ids=["text", "cut", "declares 1 GiB", "empty"],
)
def test_a_recording_that_cannot_be_heard_is_refused(desk, data, why):
    """With its reason, and nothing of it is kept."""
    before = set((desk.data / "transcripts").glob("*.txt"))
    answer = desk.post("/transcribe", files={"file": ("x.wav", data)})
    assert answer.status_code == 422
    assert why in answer.json()["detail"]
    assert set((desk.data / "transcripts").glob("*.txt")) == before


def test_a_request_without_a_recording_is_refused(desk):
    """No file, or a field of another name."""
    assert desk.post("/transcribe").status_code == 422
    assert desk.post("/transcribe", files={"other": b"x"}).status_code == 422
    assert desk.post("/transcribe/batches", data={"priority": "high"}).status_code == 422
    wrong = desk.post(
        "/transcribe/batches", files={"files": ("a.wav", tone(1))}, data={"priority": "now"}
    )
    assert wrong.status_code == 422


def test_too_many_recordings_are_refused(desk):
    """More than twenty in one batch."""
    files = [("files", (f"{n}.wav", tone(0.1))) for n in range(21)]
    assert desk.post("/transcribe/batches", files=files).status_code == 413


def raw(desk, head, body=b""):
    """Return the head of what the desk answers to bytes."""
    port = int(desk.environ["GNOMON_DEMO_PORT"])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head)
        with contextlib.suppress(OSError):  # the desk may close it before all is sent
            for _ in range(2 * LARGEST // len(body) if body else 0):
                connection.sendall(body)
        answer = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in answer and (part := connection.recv(4096)):
                answer += part
        return answer


HEAD = (
    b"POST /transcribe HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)


def test_a_gib_that_is_declared_is_refused_before_it_comes(desk):
    """The answer does not wait for a body that may never come."""
    answer = raw(desk, HEAD + b"Content-Length: 1073741824\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_without_end_is_refused_once_it_is_too_large(desk):
    """Its length was never declared; no more than the limit is taken."""
    begin = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (len(begin), begin)
    piece = bytes(65_536)
    answer = raw(desk, head, b"%x\r\n%b\r\n" % (len(piece), piece))
    # A connection that was reset while bytes were still on their way has lost its answer.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert desk.get("/-/ready").status_code == 200


def test_names_of_files_are_text_and_nothing_else(desk):
    """A path in it leads nowhere, a tag is shown as it is, a long one is cut."""
    for name in ("../../etc/passwd", "<script>alert(1)</script>.wav", "x" * 500):
        found = desk.post("/transcribe", files={"file": (name, tone(0.5))}).json()
        assert len(found["name"]) <= 100
        page = desk.get(f"/performance/files/{found['id']}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert (desk.data / "transcripts" / f"{found['id']}.txt").exists()


def test_ids_that_are_none_are_not_found(desk):
    """Whatever they look like."""
    for path in ("/transcribe/x", "/transcribe/..%2F..%2Fetc", "/transcribe/batches/x"):
        assert desk.get(path).status_code == 404, path


def submitted(desk, priority):
    """Return how many recordings of a priority were ever queued."""
    name = "gnomon_queue_submitted_total"
    return desk.metric(name, queue="transcriptions", priority=priority)
