"""One thread for all while they are quick, more only where one is stuck."""

import threading
import time

import pytest

from gnomon_exporter.helpers import Helpers


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "helper"]


@pytest.fixture
def helpers():
    """Helpers, and as many threads as before when the test is over."""
    before = set(_threads())
    release = threading.Event()
    mine = Helpers()
    mine.release = release
    mine.mine = lambda: set(_threads()) - before
    yield mine
    release.set()


def test_one_thread_does_what_is_quick(helpers):
    """A thousand jobs in a row need one thread, and it is kept."""
    used = set()
    for _ in range(1000):
        done = threading.Event()
        helpers.submit(lambda done=done: (used.add(threading.current_thread()), done.set()))
        assert done.wait(5)
    assert len(used) == 1
    assert helpers.mine() == used


def test_a_stuck_job_holds_up_the_others_until_someone_hurries(helpers):
    """Behind a stuck job nothing happens, until who waits asks for another helper."""
    done = threading.Event()
    helpers.submit(lambda: helpers.release.wait(60))
    helpers.submit(done.set)
    assert not done.wait(0.1)
    helpers.hurry()
    assert done.wait(5)
    assert len(helpers.mine()) == 2


def test_hurrying_needlessly_starts_nothing(helpers):
    """With nothing to do, or a helper that is free for it, there is no new thread."""
    helpers.hurry()
    assert helpers.mine() == set()
    helpers.submit(lambda: helpers.release.wait(60))
    time.sleep(0.05)
    for _ in range(100):
        helpers.hurry()
    assert len(helpers.mine()) == 1


def test_threads_that_come_back_are_let_go(helpers):
    """When ten stuck jobs come back, one helper stays."""
    for _ in range(10):
        helpers.submit(lambda: helpers.release.wait(60))
    end = time.monotonic() + 5
    while not helpers._jobs.empty():
        helpers.hurry()
        assert time.monotonic() < end
    assert len(helpers.mine()) >= 10
    helpers.release.set()
    while len(helpers.mine()) > 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    done = threading.Event()
    helpers.submit(done.set)
    assert done.wait(5)


def test_no_thread_to_be_had(helpers, monkeypatch):
    """The first submit says so; to hurry in vain is no error; later it works again."""

    def refuse(_self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            helpers.submit(lambda: None)
        helpers.hurry()
    done = threading.Event()
    helpers.submit(done.set)
    assert done.wait(5)
