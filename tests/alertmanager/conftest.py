"""A house for each test, and the places where its messages arrive."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from alertmanagers import House
from sinks import Mails, Webhooks, mail_server, webhook_server


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A checkout in which nothing is set yet."""
    with ExitStack() as running:
        yield House(tmp_path, running)


@pytest.fixture
def mails() -> Iterator[Mails]:
    """A mail server that takes everything."""
    with mail_server() as server:
        yield server


@pytest.fixture
def hooks() -> Iterator[Webhooks]:
    """A web server that takes everything."""
    with webhook_server() as server:
        yield server
