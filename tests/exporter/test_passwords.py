"""Users and their passwords."""

import sys
import threading
import time

import bcrypt
import pytest

from gnomon_exporter import passwords
from gnomon_exporter.passwords import HASH, REMEMBERED, WAITING, Busy, Passwords


def hashed(password, cost=4):
    """Return a bcrypt hash that is quickly made."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


@pytest.fixture
def calls(monkeypatch):
    """Count what bcrypt is asked, and let it answer."""
    asked = []
    real = bcrypt.checkpw

    def counting(password, stored):
        asked.append((password, stored))
        return real(password, stored)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    return asked


def test_lets_in_who_knows_the_password(calls):
    """The right one, many times: bcrypt runs once."""
    users = Passwords({"alice": hashed("open sesame")})
    assert [users.check(b"alice", b"open sesame") for _ in range(5)] == [True] * 5
    assert len(calls) == 1


def test_says_at_once_who_is_known(calls):
    """Only after the right password, and not of one with which somebody has been replaced."""
    users = Passwords({"alice": hashed("open sesame")})
    assert not users.knows(b"alice", b"open sesame")
    users.check(b"alice", b"open sesame")
    users.check(b"alice", b"wrong")
    asked = len(calls)
    assert users.knows(b"alice", b"open sesame")
    assert not users.knows(b"alice", b"wrong")
    assert not users.knows(b"bob", b"open sesame")
    users.replace({"alice": hashed("another")})
    assert not users.knows(b"alice", b"open sesame")
    assert len(calls) == asked


def test_keeps_out_everyone_else(calls):
    """A wrong or empty password and an unknown user, each checked once."""
    users = Passwords({"alice": hashed("open sesame")})
    for user, password in ((b"alice", b"wrong"), (b"alice", b""), (b"bob", b"open sesame")):
        assert users.check(user, password) is False
        assert users.check(user, password) is False
    assert len(calls) == 3


def test_without_users_nobody_is_known():
    """An empty list of users lets nobody in; whether to ask at all is the server's question."""
    users = Passwords({})
    assert not users
    assert users.check(b"alice", b"") is False


def test_an_unknown_user_is_checked_against_a_known_ones_hash(calls):
    """So the answer takes as long as that to a known user with a wrong password."""
    known = {"alice": hashed("a"), "bob": hashed("b", 5)}
    users = Passwords(known)
    for number in range(20):
        assert users.check(f"mallory{number}".encode(), b"a") is False
        assert users.check(f"mallory{number}".encode(), b"b") is False
    assert {stored.decode() for _, stored in calls} == set(known.values())


def test_separates_user_and_password():
    """The same letters cut elsewhere are not the same answer."""
    users = Passwords({"ab": hashed("c"), "a": hashed("other")})
    assert users.check(b"ab", b"c") is True
    assert users.check(b"a", b"bc") is False


def test_a_removed_user_is_out_at_once_and_a_new_password_counts(calls):
    """What was remembered for a hash says nothing about another."""
    first, second = hashed("one"), hashed("two")
    users = Passwords({"alice": first, "bob": first})
    assert users.check(b"alice", b"one") is True
    assert users.check(b"bob", b"one") is True
    users.replace({"alice": second})
    assert users.check(b"bob", b"one") is False
    assert users.check(b"alice", b"one") is False
    assert users.check(b"alice", b"two") is True
    before = len(calls)
    users.replace({"alice": second, "bob": first})
    assert users.check(b"bob", b"one") is True
    assert len(calls) == before


def test_remembers_a_bounded_number_of_wrong_passwords():
    """Guesses neither fill the memory nor push out the right password."""
    users = Passwords({"alice": hashed("right")})
    assert users.check(b"alice", b"right") is True
    for number in range(REMEMBERED + 20):
        assert users.check(b"alice", str(number).encode()) is False
    assert len(users._wrong) == REMEMBERED
    assert len(users._right) == 1


def test_remembers_no_password_in_plain():
    """What is kept is a digest under a key of this object."""
    first, second = Passwords({"a": hashed("pw")}), Passwords({})
    second._users = first._users
    first.check(b"a", b"pw")
    second.check(b"a", b"pw")
    assert first._right.keys() != second._right.keys()
    assert all(len(digest) == 32 for digest in first._right)


def test_takes_passwords_of_any_bytes_and_length():
    """Letters that are no ASCII, a NUL, more than the 72 bytes that bcrypt looks at."""
    users = Passwords({"é": hashed("pässword"), "long": hashed("x" * 72)})
    assert users.check("é".encode(), "pässword".encode()) is True
    assert users.check("é".encode(), b"p\x00") is False
    assert users.check(b"long", b"x" * 100) is True
    assert users.check(b"long", b"x" * 71) is False
    assert users.check(b"\xff\xfe", b"\xff" * 5000) is False


def test_the_same_password_at_once_is_checked_once(calls):
    """Who waits for the same answer takes it instead of asking again."""
    users = Passwords({"alice": hashed("right", 9)})
    verdicts = []
    threads = [
        threading.Thread(target=lambda: verdicts.append(users.check(b"alice", b"right")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [True] * 8
    assert len(calls) == 1


def test_a_flood_of_guesses_is_turned_away_and_holds_up_nobody(monkeypatch):
    """Beyond the places there is Busy at once; a remembered password needs no place."""
    users = Passwords({"alice": hashed("right")})
    assert users.check(b"alice", b"right") is True
    gate = threading.Event()

    def slow(*_):
        return not gate.wait(30)

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    threads = [
        threading.Thread(target=users.check, args=(b"alice", str(number).encode()))
        for number in range(WAITING)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 25
    while users._places._value and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(Busy):
        users.check(b"alice", b"one more")
    assert users.check(b"alice", b"right") is True
    gate.set()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    assert users.check(b"alice", b"one more") is False


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
def test_takes_the_hashes_of_every_tool(prefix):
    """The prefix 2y is htpasswd's, 2a and 2b come from Go and Python."""
    stored = hashed("pw").replace("$2b$", f"${prefix}$")
    assert HASH.fullmatch(stored)
    assert Passwords({"alice": stored}).check(b"alice", b"pw") is True


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "{SHA}kd/Z3bQZiv/FwZTNjObTOP3kcOI=",
        "$apr1$x$y",
        hashed("x")[:-1],
        hashed("x") + ".",
        hashed("x").replace("$04$", "$03$"),
        hashed("x").replace("$04$", "$32$"),
        hashed("x")[:28] + "/" + hashed("x")[29:],
    ],
    ids=["empty", "plain", "sha", "md5", "short", "long", "cheap", "dear", "last of the salt"],
)
def test_knows_what_is_no_bcrypt_hash(text):
    """Other schemes, cut or longer hashes, costs out of range, a salt that bcrypt refuses."""
    assert not HASH.fullmatch(text)


def test_needs_bcrypt_only_for_users(monkeypatch):
    """Nobody without users misses bcrypt."""
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    assert not passwords.Passwords({})
    with pytest.raises(ImportError):
        passwords.Passwords({"alice": "$2b$..."})
