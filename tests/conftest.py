"""What every test may use."""

from collections.abc import Callable

import pytest

import servers


@pytest.fixture
def program() -> Callable[[str], list[str]]:
    """Return the function that finds a real program, or skips (in CI: fails) by its name."""
    return servers.program


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return the function that finds a free TCP port of loopback."""
    return servers.free_port
