"""Where the stack's files lie."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from gnomon_stack import home
from gnomon_stack.home import Home


def test_the_checkout_is_found_from_any_folder_in_it(checkout):
    """As git does; and from elsewhere it is the one that the command belongs to."""
    root = checkout.home.root
    assert home.find(root) == Home(root)
    assert home.find(root / "prometheus/rules") == Home(root)
    assert home.find(Path("/")) == Home(Path(home.__file__).parents[2])


@pytest.mark.parametrize("depth", [1, 30])
def test_the_socket_can_be_bound_however_deep_the_checkout_lies(depth, request):
    """Also under the longer name that supervisord binds first; nobody else may reach it."""
    # Not pytest's folder, whose own name may be long.
    short = tempfile.TemporaryDirectory()
    request.addfinalizer(short.cleanup)
    root = Path(short.name).joinpath(*["deep"] * depth)
    root.mkdir(parents=True)
    place = Home(root)
    place.prepare()
    place.prepare()
    assert place.socket.parent.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX) as server:
        path = f"{place.socket}.{4_194_304}"
        server.bind(path)
        os.unlink(path)
    assert (place.socket.parent == place.stack) == (depth == 1)
    if depth > 1:
        place.socket.parent.rmdir()
