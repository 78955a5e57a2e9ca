"""What every test may use."""

from collections.abc import Callable, Iterator

import pytest

import servers
from brokers import RabbitMQ, rabbitmq_server
from databases import MariaDB, PostgreSQL, mariadb_server, postgresql_server


@pytest.fixture
def program() -> Callable[[str], list[str]]:
    """Return the function that finds a real program, or skips (in CI: fails) by its name."""
    return servers.program


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return the function that finds a free TCP port of loopback."""
    return servers.free_port


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ for all tests that want one: it takes up to half a minute to start."""
    with rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL for all tests that want one; each leaves the database as it was."""
    with postgresql_server() as database:
        yield database


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB that counts the use of indexes; each test leaves the database as it was."""
    with mariadb_server("--performance-schema=ON") as database:
        yield database
