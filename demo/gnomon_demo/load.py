"""The load: people who use the desk, more by day than by night. A locust file."""

import json
import math
import random
import time
from contextlib import closing

import websocket
from locust import FastHttpUser, HttpUser, LoadTestShape, between, constant, task

from gnomon_demo.settings import settings
from gnomon_demo.symbols import SYMBOLS
from gnomon_demo.tones import tone

#: People at the quietest and at the busiest time of a day.
FEWEST, MOST = 8, 20

_MODELS = ("whisper-small", "whisper-large", "diarizer", "trend", "volatility", "headlines")
_RECORDINGS = [tone(seconds, 2000.0 / seconds, 16_000) for seconds in (3, 8, 20)]


class Day(LoadTestShape):
    """A day's curve: few at four in the morning, most at four in the afternoon, by local time.

    GNOMON_DEMO_DAY_SECONDS makes a day shorter than 86400 s.
    """

    _length_s = settings().day_s

    def tick(self) -> tuple[int, float]:
        """Return how many people there are now, and how many may come per second."""
        now = time.localtime()
        part = (3600 * now.tm_hour + 60 * now.tm_min + now.tm_sec) / 86400
        if self._length_s != 86400:
            part = time.time() % self._length_s / self._length_s
        return people(part), 1.0


def people(part: float) -> int:
    """Return how many people there are when that part of a day, from 0 to 1, has gone by."""
    light = 0.5 - 0.5 * math.cos(2 * math.pi * (part - 4 / 24))
    return round(FEWEST + (MOST - FEWEST) * light)


class Reader(FastHttpUser):
    """Somebody who looks at the market, and at the models now and then."""

    weight = 8
    wait_time = between(0.7, 2.3)

    @task(20)
    def market(self) -> None:
        """Ask for a symbol; some are asked for more often than others."""
        symbol = random.choices(list(SYMBOLS), range(len(SYMBOLS), 0, -1))[0]
        self.client.get(f"/api/market/{symbol}", name="/api/market/{symbol}")

    @task(4)
    def models(self) -> None:
        """Look at the models, and at one of them."""
        self.client.get("/api/models")
        self.client.get(f"/api/models/{random.choice(_MODELS)}", name="/api/models/{model}")

    @task(2)
    def evaluate(self) -> None:
        """Say how well a model did, and look at what others say."""
        score = round(random.betavariate(16, 3), 4)
        new = {"model": random.choice(_MODELS), "metric": "accuracy", "score": score}
        self.client.post("/api/evaluations", json=new)
        self.client.get("/api/evaluations?limit=20", name="/api/evaluations")

    @task(2)
    def analytics(self) -> None:
        """Look at the last hour."""
        self.client.get("/api/analytics")

    @task(1)
    def reports(self) -> None:
        """Look for reports, and read the newest."""
        found = self.client.get("/api/reports").json()
        if found:
            self.client.get(f"/api/reports/{found[0]['id']}", name="/api/reports/{number}")

    @task(1)
    def page(self) -> None:
        """Open a page, and report what a browser would have measured."""
        page = random.choice(("/", "/performance"))
        self.client.get(page)
        first = random.lognormvariate(5.8, 0.4)  # milliseconds, a third of a second as a rule
        seen = {
            "path": page,
            "ttfb": random.lognormvariate(3.5, 0.5),
            "fcp": first,
            "lcp": first * random.uniform(1.0, 2.5),
            "inp": random.lognormvariate(4.0, 0.6),
            "cls": random.expovariate(40),
        }
        self.client.post("/gnomon/vitals", json=seen, headers={"Origin": self.host or ""})


class Sender(HttpUser):
    """Somebody who has recordings."""

    weight = 2
    wait_time = between(6, 14)

    @task(3)
    def one(self) -> None:
        """Send one recording, and wait for its transcript."""
        self.client.post("/transcribe", files={"file": (_name(), random.choice(_RECORDINGS))})

    @task(1)
    def batch(self) -> None:
        """Send several, and follow them until all are done."""
        several = random.choices(_RECORDINGS, k=random.randint(3, 6))
        files = [("files", (_name(), sound)) for sound in several]
        priority = random.choices(("high", "normal", "low"), (1, 4, 2))[0]
        answer = self.client.post("/transcribe/batches", files=files, data={"priority": priority})
        if not answer.ok:
            return
        events = f"/transcribe/batches/{answer.json()['batch']}/events"
        name = "/transcribe/batches/{batch}/events"
        with closing(self.client.get(events, name=name, stream=True, timeout=60)) as stream:
            for line in stream.iter_lines():
                if line == b"event: done":
                    break


def _name() -> str:
    return f"{random.choice(('call', 'meeting', 'voicemail'))}-{random.randint(1, 9999):04}.wav"


class Watcher(FastHttpUser):
    """Somebody who watches a few prices as they move, for a minute or two."""

    fixed_count = 2
    wait_time = constant(2)

    @task
    def watch(self) -> None:
        """Subscribe by WebSocket, and answer whatever comes."""
        address = f"{self.host}/ws/prices".replace("http", "ws", 1)
        end = time.monotonic() + random.uniform(30, 120)
        socket = websocket.create_connection(address, timeout=40)
        try:
            socket.send(json.dumps({"subscribe": random.sample(list(SYMBOLS), 4)}))
            while time.monotonic() < end and socket.recv():
                socket.send("{}")
        finally:
            socket.close()
