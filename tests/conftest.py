"""What every test may use."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

import servers
from brokers import RabbitMQ, rabbitmq_server
from databases import MariaDB, PostgreSQL, mariadb_server, postgresql_server

#: Folders whose tests share servers, which take long to start.
_TOGETHER = ("tests/demo/", "tests/console/")


class _ByServers(LoadScopeScheduling):
    """Gives each process whole files, and of the folders that share servers all of it."""

    def _split_scope(self, nodeid: str) -> str:
        for folder in _TOGETHER:
            if nodeid.startswith(folder):
                return folder
        return nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Share the tests out so that few servers are started twice."""
    # In the order of their names: what takes longest is neither first nor last.
    config.option.loadscopereorder = False
    return _ByServers(config, log)


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
