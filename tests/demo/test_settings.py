"""Where the demo's processes find each other."""

import pytest

from gnomon_demo.settings import settings


def test_alone_all_is_on_loopback():
    """Without a word, every process listens on loopback and looks for the others there."""
    found = settings({})
    assert found.listen == "127.0.0.1"
    assert (found.desk, found.exchange) == ("http://127.0.0.1:8000", "http://127.0.0.1:8001")
    assert (found.redis, found.celery) == (None, None)


def test_each_can_be_elsewhere():
    """By its address, which a port that was moved does not change."""
    environ = {
        "GNOMON_DEMO_LISTEN": "0.0.0.0",
        "GNOMON_DEMO_URL": "http://demo:8000",
        "GNOMON_EXCHANGE_URL": "http://exchange:8001",
        "GNOMON_DEMO_PORT": "9000",
    }
    found = settings(environ)
    assert (found.listen, found.port) == ("0.0.0.0", 9000)
    assert (found.desk, found.exchange) == ("http://demo:8000", "http://exchange:8001")


@pytest.mark.parametrize("name", ["database", "redis", "celery"])
def test_an_address_with_a_password_may_stand_in_a_file(tmp_path, name):
    """The file counts, whatever the variable says; without it nothing works by chance."""
    variable = f"GNOMON_DEMO_{name.upper()}"
    path = tmp_path / "address"
    path.write_text("some://user:secret@there\n")
    environ = {variable: "other://", f"{variable}_FILE": str(path)}
    assert getattr(settings(environ), name) == "some://user:secret@there"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        settings(environ)
