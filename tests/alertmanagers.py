"""Alertmanagers for the tests: rendered from a copy of the checkout, started, and asked."""

import json
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gnomon_stack.alerting import apply
from gnomon_stack.home import Home
from servers import ROOT, Server, fetch, free_port, program, until


class House:
    """A copy of what is rendered, in a folder of its own, and the Alertmanagers started from it."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        shutil.copytree(
            ROOT / "alertmanager", folder / "alertmanager", ignore=shutil.ignore_patterns("secrets")
        )
        self.home = Home(folder)
        self.home.prepare()
        self._running = running

    def settings(self, text: str) -> None:
        """Write alerting.yml."""
        path = self.home.root / "alerting.yml"
        path.write_text(text)
        path.chmod(0o600)

    def secret(self, name: str, text: str, mode: int = 0o600) -> None:
        """Write a secret's file."""
        path = self.home.root / "alertmanager/secrets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def render(self, quick: Iterable[tuple[str, str]] = (), **said: str) -> Path:
        """Render for the Alertmanager that is installed; return its configuration.

        said: variables of the environment, without their prefix. quick: substitutions in the
        result, each a pattern of what has to be there.
        """
        environ = {f"GNOMON_ALERT_{key.upper()}": value for key, value in said.items()}
        path = apply.prepare(self.home, environ, program("alertmanager"), lambda _: None).config
        text = path.read_text()
        for pattern, new in quick:
            assert re.search(pattern, text), pattern
            text = re.sub(pattern, new, text)
        path.write_text(text)
        return path

    def start(self, config: Path, name: str = "one", *flags: str) -> "Alertmanager":
        """Start an Alertmanager; it ends with the test."""
        found = Alertmanager(self.home.root, config, name, flags)
        self._running.callback(found.stop)
        found.start()
        return found


class Alertmanager:
    """One that runs. Started again, it has what it has kept."""

    def __init__(self, folder: Path, config: Path, name: str, flags: tuple[str, ...]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = folder / f"{name}.log"
        self._words = [
            *program("alertmanager"),
            f"--config.file={config}",
            f"--storage.path={folder}/data-{name}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--web.external-url=https://alerts.example.org/",
            "--web.route-prefix=/",
            "--log.level=debug",
            *(flags or ("--cluster.listen-address=",)),
        ]
        self._server: Server | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._server = Server(self._words, ready=f"{self.url}/-/ready", log=self._log)
        self._server.__enter__()

    def stop(self) -> None:
        """Let it end by itself."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """End it at once."""
        assert self._server is not None
        self._server.process.send_signal(signal.SIGKILL)
        self._server.process.wait(10)
        self._server = None

    def output(self) -> str:
        """Return what it has logged."""
        return self._log.read_text(errors="replace")

    def flushes(self) -> int:
        """Return how often it has looked at a group, to see whether to tell."""
        return len(re.findall(r'msg="?[Ff]lushing', self.output()))

    def look_again(self, times: int) -> None:
        """Wait until it has looked so many times more."""
        before = self.flushes()
        until(lambda: self.flushes() >= before + times)

    def post(self, *alerts: dict[str, str], over: bool = False, **annotations: str) -> None:
        """Send it alerts with these labels, as Prometheus does."""
        now = datetime.now(UTC)
        body = [
            {
                "labels": labels,
                "annotations": annotations,
                "startsAt": now.isoformat(),
                "generatorURL": "http://prometheus.example.org/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
                **({"endsAt": now.isoformat()} if over else {}),
            }
            for labels in alerts
        ]
        self.call("/api/v2/alerts", body)

    def silence(self, **labels: str) -> None:
        """Silence what has these labels, for an hour."""
        now = datetime.now(UTC)
        matchers = [
            {"name": name, "value": value, "isRegex": False, "isEqual": True}
            for name, value in labels.items()
        ]
        body = {
            "matchers": matchers,
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "tests",
            "comment": "taken",
        }
        self.call("/api/v2/silences", body)

    def call(self, path: str, body: Any) -> None:
        """Post a body to its API."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30):
            pass

    def ask(self, path: str) -> Any:
        """Return what its API answers."""
        return json.loads(fetch(self.url + path, timeout=30))
