"""An application behind several workers, as a client sees it, and what its page says."""

import contextlib
import http.client
import json
import re
import threading
import time
from collections import Counter

from prometheus_client import CollectorRegistry, generate_latest

from gnomon.workers import codec

#: What each request to /a adds one to.
COUNT = 'http_server_request_duration_seconds_count{route="/a"}'


class Page(dict):
    """The samples of one scrape; of the requests' count only that of /a."""

    def __init__(self, text):
        self.text = text
        for name, labels, value in re.findall(r"^(\w+)(\{.*?\})? (\S+)", text, re.MULTILINE):
            self[name + labels] = float(value)
            if name == "http_server_request_duration_seconds_count" and '"/a"' in labels:
                self[COUNT] = float(value)

    def fallen(self, later):
        """Give the counters that are smaller on a later page, or no longer there."""
        return {
            name: (value, later.get(name))
            for name, value in self.items()
            if re.search(r"_(total|count|sum|bucket)(\{|$)", name) and later.get(name, -1) < value
        }


class Served:
    """A running server: its process, and requests over a connection each."""

    def __init__(self, process, port):
        self.process = process
        self.port = port
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path="/a", **headers):
        """Ask once; raise OSError or HTTPException if the answer is cut."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        ) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        assert answer.status == 200, body
        return body

    def page(self, accept="text/plain"):
        """Scrape, as often as the worker that is asked is killed meanwhile."""
        for _ in range(20):
            with contextlib.suppress(OSError, http.client.HTTPException):
                return Page(self.get("/metrics", Accept=accept).decode())
            time.sleep(0.1)
        raise AssertionError("no worker answers")

    def load(self, count, connections=30):
        """Make requests over so many connections, some at a time; give answers by worker."""
        answered = Counter()
        lock = threading.Lock()
        todo = [count // connections + (n < count % connections) for n in range(connections)]

        def ask():
            while True:
                with lock:
                    if not todo:
                        return
                    mine = todo.pop()
                with contextlib.closing(
                    http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                ) as connection:
                    for _ in range(mine):
                        connection.request("GET", "/a")
                        pid = json.loads(connection.getresponse().read())
                        with lock:
                            answered[pid] += 1

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answered.total() == count
        return answered


def saved(folder, pid):
    """Give the page that a worker has saved."""
    (path,) = folder.glob(f"{pid}-*.snapshot")
    registry = CollectorRegistry()
    registry.collect = lambda: codec.load(path.read_bytes()).families
    return Page(generate_latest(registry).decode())
