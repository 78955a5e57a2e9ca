"""Asking things that may never answer."""

import threading
import time

import pytest

from gnomon_exporter.patience import Patience

# Long beside a thread's start on a busy machine, short beside the margin of the deadlines.
TIMEOUT = 1.0


class Things:
    """A function to ask; those in ``dead`` answer only once ``revive`` is called."""

    def __init__(self, *dead):
        self.dead = set(dead)
        self.calls = []
        self._alive = threading.Event()

    def __call__(self, thing):
        self.calls.append(thing)
        if thing in self.dead:
            self._alive.wait(60)
        return thing * 2

    def revive(self):
        self.dead = set()
        self._alive.set()


@pytest.fixture
def things():
    """Let go of every thread that a test left hanging."""
    made = []

    def make(*dead):
        made.append(Things(*dead))
        return made[-1]

    yield make
    for one in made:
        one.revive()


@pytest.fixture
def helpers():
    """Return a function that counts the helpers that this test has running."""
    others = set(threading.enumerate())
    return lambda: sum(
        thread.name == "patience" for thread in threading.enumerate() if thread not in others
    )


def until(condition):
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "did not come to pass"
        time.sleep(0.01)


def test_returns_what_every_thing_answers(things):
    """Each thing is asked once, in order, also when it is named twice."""
    ask = things()
    assert Patience(ask).answers([1, 2, 1, 3], TIMEOUT) == {1: 2, 2: 4, 3: 6}
    assert ask.calls == [1, 2, 3]


def test_asks_nothing_about_nothing(things, helpers):
    """No thing, no wait and no thread."""
    assert Patience(things()).answers([], TIMEOUT) == {}
    assert helpers() == 0


def test_an_error_is_an_answer():
    """What the function raises of OSError and ValueError stands beside the others' answers."""

    def ask(thing):
        if thing == 1:
            raise OSError(5, "Input/output error")
        if thing == 2:
            raise ValueError("embedded null byte")
        return thing

    answers = Patience(ask).answers([1, 2, 3], TIMEOUT)
    assert [type(answers[thing]) for thing in (1, 2, 3)] == [OSError, ValueError, int]


def test_one_helper_serves_every_round(things, helpers):
    """A thousand rounds on healthy things use one thread."""
    patience = Patience(things())
    for _ in range(1000):
        assert patience.answers([1, 2], TIMEOUT) == {1: 2, 2: 4}
    assert helpers() == 1


def test_what_hangs_is_missing_and_costs_the_others_nothing(things):
    """The things behind the one that hangs answer; the call is over by its timeout."""
    ask = things(2)
    started = time.monotonic()
    assert Patience(ask).answers([1, 2, 3], TIMEOUT) == {1: 2, 3: 6}
    assert time.monotonic() - started < 5 * TIMEOUT


def test_what_hangs_is_not_asked_again_and_not_waited_for(things, helpers):
    """The second round skips it, so it takes no time and no second thread."""
    ask = things(2)
    patience = Patience(ask)
    patience.answers([1, 2, 3], TIMEOUT)
    started = time.monotonic()
    for _ in range(100):
        assert patience.answers([1, 2, 3], 60) == {1: 2, 3: 6}
    assert time.monotonic() - started < 30
    assert ask.calls.count(2) == 1
    assert helpers() == 2


def test_what_answers_again_is_asked_again(things, helpers):
    """Once the hanging call returns, the thing is back and the spare thread is gone."""
    ask = things(2)
    patience = Patience(ask)
    patience.answers([1, 2, 3], TIMEOUT)
    assert helpers() == 2
    ask.revive()
    until(lambda: helpers() == 1)
    assert patience.answers([1, 2, 3], TIMEOUT) == {1: 2, 2: 4, 3: 6}


def test_the_number_of_threads_is_bounded(things, helpers):
    """Far more dead things than the limit hold no more threads than the limit and one."""
    ask = things(*range(1000))
    patience = Patience(ask, limit=4)
    for _ in range(3):
        started = time.monotonic()
        assert patience.answers(range(1000), TIMEOUT) == {}
        assert time.monotonic() - started < 5 * TIMEOUT
        assert helpers() <= 5
    assert len(ask.calls) <= 5


def test_what_answered_stays_visible_however_many_others_hang(things):
    """With every thread stuck, one more is kept for the things that answered before."""
    ask = things(*range(100, 200))
    patience = Patience(ask, limit=4)
    assert patience.answers([1, *range(100, 200)], TIMEOUT) == {1: 2}
    for _ in range(3):
        assert patience.answers([1, 2, *range(100, 200)], TIMEOUT) == {1: 2}
    assert len([thing for thing in ask.calls if thing >= 100]) == 4


def test_many_things_at_once(things, helpers):
    """Ten thousand things are asked by the one helper."""
    answers = Patience(things()).answers(range(10_000), 60)
    assert len(answers) == 10_000
    assert helpers() <= 2


def test_the_helper_ends_when_it_is_no_longer_needed(things, helpers, monkeypatch):
    """A collector that is replaced leaves no thread behind for long; work brings it back."""
    monkeypatch.setattr("gnomon_exporter.patience._IDLE", 0.05)
    patience = Patience(things())
    assert patience.answers([1], TIMEOUT) == {1: 2}
    until(lambda: helpers() == 0)
    assert patience.answers([1], TIMEOUT) == {1: 2}
