"""The database that tests are given."""

import os

import pytest


def test_it_answers_and_is_no_administrators(postgresql):
    """A server of its own runs, whoever runs the tests, and takes statements one by one."""
    made = postgresql.say(
        "CREATE TABLE fixture (n int)", "INSERT INTO fixture VALUES (41)", "TABLE fixture"
    )
    postgresql.say("DROP TABLE fixture")
    assert made == "41\n"
    with pytest.raises(AssertionError, match="does not exist"):
        postgresql.say("TABLE fixture")
    if os.geteuid() == 0:
        assert os.stat(f"/proc/{postgresql.server.process.pid}").st_uid != 0


def test_mariadb_answers_and_is_no_administrators(mariadb):
    """A server of its own runs, whoever runs the tests, and takes statements one by one."""
    made = mariadb.say(
        "CREATE TABLE fixture (n int)", "INSERT INTO fixture VALUES (41)", "SELECT n FROM fixture"
    )
    mariadb.say("DROP TABLE fixture")
    assert made == [(41,)]
    if os.geteuid() == 0:
        assert os.stat(f"/proc/{mariadb.server.process.pid}").st_uid != 0
