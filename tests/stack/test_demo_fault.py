"""`gnomon demo fault`: makes something go wrong in the demo of the running stack."""

import pytest

import servers

#: What the fixture `checkout` asks.
DEMO = True


@pytest.fixture
def real(checkout):
    """A checkout on a machine that has the real servers."""
    for name in ("prometheus", "alertmanager"):
        servers.program(name)
    return checkout


def test_a_fault_is_begun_listed_and_ended(real):
    """From any terminal in the checkout; what cannot be is said in one line."""
    real.start()
    listed = real.run("demo", "fault")
    assert listed.returncode == 0, listed.stderr
    assert "cache-storm" in listed.stdout
    begun = real.run("demo", "fault", "outage", "--seconds", "90")
    assert begun.stdout == "outage for 90 s: the exchange answers 503 to everything.\n"
    [line] = [line for line in real.run("demo", "fault").stdout.splitlines() if "outage" in line]
    assert " s " in line
    assert real.run("demo", "fault", "outage", "--end").stdout == "outage has ended.\n"
    wrong = real.run("demo", "fault", "none")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("gnomon: no fault none: there are slow, ")
    late = real.run("demo", "fault", "slow", "--seconds", "99999")
    assert late.returncode == 1
    assert late.stderr.startswith("gnomon: ")
    assert len(late.stderr.splitlines()) == 1


def test_without_a_stack_it_says_what_is_missing(checkout):
    """One line, status 1."""
    done = checkout.run("demo", "fault", "slow")
    assert done.returncode == 1
    assert (
        done.stderr == "gnomon: no stack runs here: start it with `make up` in another terminal\n"
    )
