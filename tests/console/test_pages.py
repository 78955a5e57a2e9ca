"""What the console answers to questions that a browser asks, and to those that none would."""

import gzip
import json
import random
import string
import urllib.error
import urllib.request
from http.client import HTTPMessage

import pytest

import servers
from console.kinds import LINES, STAT, TABLE, UID


def answered(url: str, **headers: str) -> tuple[int, HTTPMessage, bytes]:
    """Return the status, headers and body of whatever is answered."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("ids=1&from=yesterday", 400),
        ("ids=one", 400),
        ("ids=2&from=now&to=now-1h", 400),
        ("ids=999", 200),
        ("ids=2&var-job=%22%7D%20or%20vector(1)%20%23", 200),
        ("ids=", 200),
        ("", 422),
        (f"ids={'1,' * 2000}", 422),
        ("ids=1&from=1&to=99999999999999", 400),
    ],
)
def test_odd_questions_are_answered_plainly(stack, query, status):
    """Whatever is wrong with them."""
    assert answered(f"{stack.console}/api/boards/gnomon-meta/panels?{query}")[0] == status


def test_hostile_questions_are_answered_too(stack):
    """Hundreds, of whatever somebody may type into an address: none breaks the console."""
    chance = random.Random(5)
    pieces = [
        *("ids", "from", "to", "var-job", "var-service", "now", "now-1h", "now-99999999d", "1,2"),
        *(
            "=",
            "=",
            "=",
            "&",
            "&",
            "%00",
            "%ff",
            "%F0%9F%98%80",
            "-1",
            "1e9",
            "NaN",
            "$__all",
            ".*",
        ),
        *("%22", "}", "$job", "${job:raw}", "{{", "[[job]]", "(", "\\", "%0a", "x" * 300),
    ]
    for _ in range(300):
        query = "".join(chance.choices(pieces, k=chance.randrange(1, 12)))
        query = "".join(c for c in query if c in string.printable and c not in ' "<>\\^`{|}\n')
        kind = chance.choice(["panels", f"panels/{TABLE}.csv", f"panels/{LINES}.csv"])
        status, _, body = answered(f"{stack.console}/api/boards/{UID}/{kind}?ids={STAT}&{query}")
        assert status in {200, 400, 422}, (query, body)
    assert stack.ask(f"/api/boards/{UID}/panels?ids={STAT}")["panels"][str(STAT)]["values"]


def test_whoever_asks_the_same_is_given_the_same(stack):
    """Once packed, once plain; Prometheus is asked once."""
    url = f"{stack.console}/api/boards/{UID}/panels?ids={LINES},{STAT}&from=now-6m&to=now"
    _, headers, packed = answered(url, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    _, headers, plain = answered(url)
    assert headers["Content-Encoding"] is None
    assert gzip.decompress(packed) == plain
    assert set(json.loads(plain)["panels"]) == {str(LINES), str(STAT)}


def test_a_tables_data_come_as_csv(stack):
    """With its columns, and nothing that a spreadsheet would take for a formula."""
    text = servers.fetch(f"{stack.console}/api/boards/{UID}/panels/{TABLE}.csv", timeout=60)
    first, *rows = text.decode().splitlines()
    assert {"job", "service", "Value"} <= set(first.split(","))
    assert len(rows) == 3
    assert answered(f"{stack.console}/api/boards/{UID}/panels/999.csv")[0] == 404
    assert answered(f"{stack.console}/api/boards/none/panels?ids=1")[0] == 404
