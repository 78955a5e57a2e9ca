"""`gnomon demo-alert`: from a metric of this host to a receiver."""

import json
import os
import queue
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

import servers
from gnomon_stack import webhook

_DEADLINE_S = 60
_MARGIN = 5


@pytest.mark.timeout(_DEADLINE_S * _MARGIN + 60)
def test_an_alert_goes_the_whole_way(stack):
    """Metric, scrape, rule, Alertmanager, receiver, in this order; nothing is left behind."""
    checkout = stack.checkout
    before = checkout.processes().keys()
    done = subprocess.run(
        checkout.words("demo-alert"),
        cwd=checkout.home.root,
        env=checkout.env,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S * _MARGIN,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split()[2] for line in done.stdout.splitlines() if " s  " in line]
    assert steps == [
        *("host", "host", "Prometheus", "rule", "rule", "Alertmanager"),
        *("receiver", "host", "receiver"),
    ]
    start = done.stdout.index("is told:") + len("is told:")
    told, _ = json.JSONDecoder().raw_decode(done.stdout[start:].lstrip())
    [alert] = told["alerts"]
    assert (alert["status"], alert["labels"]["alertname"]) == ("firing", "HostRunQueueRunaway")
    assert alert["labels"]["service"] == "host"
    assert alert["generatorURL"].startswith(checkout.url("prometheus", "/"))
    assert "is told that it is over" in done.stdout
    assert checkout.processes().keys() == before
    # What it is about is told to nobody else, and afterwards to nobody at all.
    assert (
        "gnomon-listener"
        not in json.loads(servers.fetch(checkout.url("alertmanager", "/api/v2/status")))["config"][
            "original"
        ]
    )


def test_the_demo_needs_a_stack(checkout):
    """Without one it says how to start it."""
    done = checkout.run("demo-alert")
    assert done.returncode == 1
    assert done.stderr == (
        "gnomon: no stack runs here: start it with `make up` in another terminal\n"
    )


def test_the_load_wants_to_run_and_gives_way():
    """All its tasks are runnable, at a priority below everything else's, and one signal ends it."""
    words = [sys.executable, "-m", "gnomon_stack.load", "20"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "started\n"
        time.sleep(0.2)
        states, policies = [], []
        for task in os.listdir(f"/proc/{process.pid}/task"):
            if int(task) != process.pid:
                with open(f"/proc/{process.pid}/task/{task}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                states.append(fields[0])
                policies.append(int(fields[38]))
        assert states == ["R"] * 20
        assert policies == [os.SCHED_IDLE] * 20
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()


def test_the_receiver_takes_notifications_and_nothing_else():
    """What is no JSON is refused; afterwards nobody listens."""
    port = servers.free_port()
    url = f"http://127.0.0.1:{port}/"
    with webhook.receiver(port) as received:
        with urllib.request.urlopen(url, data=b'{"status": "firing", "alerts": []}') as answer:
            assert answer.status == 200
        assert received.get(timeout=5) == {"status": "firing", "alerts": []}
        for body in (b"{", b"\xff", b"[]", b""):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(url, data=body)
            assert refused.value.code == 400
            refused.value.close()
        with pytest.raises(queue.Empty):
            received.get_nowait()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)
