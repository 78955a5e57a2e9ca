"""The landing page."""

import re
from html.parser import HTMLParser

import pytest

from gnomon_exporter.landing import page
from gnomon_exporter.page import State

NOW = 1_700_000_100.0


def shown(*states, notes=()):
    """Return the page as text."""
    return page(states, host="vm", version="1.2.3", notes=notes, now=NOW).decode()


def rows(html):
    """Return the text of each row's cells."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>") if row.strip()]
    return [[re.sub(r"<[^>]+>", "|", cell).strip("|") for cell in row] for row in cells]


def test_shows_how_each_collector_fared():
    """Name, subject, state, duration, age and error; what failed comes first."""
    html = shown(
        State("bonding", "Bonds", 0.00002, None, "no module", NOW - 7),
        State("cpu", "CPU time", 0.0021, True, None, NOW - 7),
        State("gpu", "GPUs", 5.0, False, "no answer in 5.0 s", NOW - 7),
        State("nvme", "NVMe devices"),
    )
    assert rows(html) == [
        ["gpu", "GPUs||no answer in 5.0 s", "failed", "5.0 s", "7 s ago"],
        ["nvme", "NVMe devices", "not run yet", "", ""],
        ["cpu", "CPU time", "fine", "2.1 ms", "7 s ago"],
        ["bonding", "Bonds||no module", "nothing here", "20 µs", "7 s ago"],
    ]
    assert '<div class="error">no answer' in html
    assert '<div class="reason">no module' in html
    sums = re.sub(r"<[^>]+>", " ", html.partition('class="sums">')[2].partition("<table>")[0])
    assert " ".join(sums.split()) == (
        "4 collectors on 1 fine 1 failed 1 with nothing to report on this host 1 not run yet"
    )


def test_shows_the_targets_beside_the_collectors():
    """A target is named after its collector, leads to its own page and is counted apart."""
    html = shown(
        State("cpu", "CPU time", 0.1, True, None, NOW),
        State("redis", "A server", 3.0, False, "no answer", NOW, target="a.b:1"),
    )
    assert [row[0] for row in rows(html)] == ["redis a.b:1", "cpu"]
    assert 'href="probe?collector=redis&amp;target=a.b%3A1"' in html
    sums = re.sub(r"<[^>]+>", " ", html.partition('class="sums">')[2].partition("<table>")[0])
    assert " ".join(sums.split()) == "1 collectors on 1 targets 1 fine 1 failed"


def test_says_what_to_do_before_the_first_scrape():
    """An untouched exporter does not look broken."""
    assert "collectors run when" in shown(State("cpu", "CPU time"))
    assert "collectors run when" in shown()
    assert "collectors run when" not in shown(State("cpu", "CPU time", 0.1, True, None, NOW))


def test_escapes_everything_that_comes_from_elsewhere():
    """Names, subjects, errors and notes cannot become markup, attributes or addresses."""
    evil = "<script>alert('x')</script>\"onmouseover=\"x&"
    html = shown(State(evil, evil, 0.1, False, evil, NOW), notes=[evil])
    assert "<script" not in html
    assert '"onmouseover' not in html
    assert "metrics?collect%5B%5D=%3Cscript%3E" in html
    assert html.count("&lt;script&gt;") == 4


def test_a_text_that_is_no_text_does_not_break_it():
    """A path's undecodable bytes arrive as lone surrogates."""
    assert b"bad?" in page(
        [State("x", "y", 0.1, False, "bad\udcff", NOW)], host="vm", version="1", notes=[], now=NOW
    )


def test_a_huge_error_is_cut():
    """A megabyte of error does not fill the page."""
    assert len(shown(State("x", "y", 0.1, False, "e" * 1_000_000, NOW))) < 20_000


def test_is_a_whole_page_that_loads_nothing():
    """Tags are balanced, and the only addresses are links of the server and the inline icon."""
    html = shown(State("cpu", "CPU time", 0.1, False, "e", NOW), notes=["note"])
    found, stack = [], []

    class Reader(HTMLParser):
        """Checks that what is opened is closed."""

        def handle_starttag(self, tag, attributes):
            """Note the tag and its addresses."""
            if tag not in ("meta", "link", "img"):
                stack.append(tag)
            found.extend(v for k, v in attributes if k in ("href", "src", "action"))

        def handle_endtag(self, tag):
            """Take the tag off again."""
            assert stack.pop() == tag

    Reader().feed(html)
    assert stack == []
    own = [link for link in found if not link.startswith("data:image/svg+xml,")]
    assert own == ["metrics", "config", "metrics?collect%5B%5D=cpu"]
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg", "", html)
    assert "<script" not in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0000004, "0 µs"),
        (0.00005, "50 µs"),
        (0.00094, "940 µs"),
        (0.00951, "10 ms"),
        (0.0012, "1.2 ms"),
        (0.25, "250 ms"),
        (0.9949, "995 ms"),
        (0.9951, "1.0 s"),
        (12.34, "12.3 s"),
    ],
)
def test_gives_durations_in_a_readers_unit(seconds, text):
    """Microseconds to seconds, two or three digits."""
    assert rows(shown(State("x", "y", seconds, True, None, NOW)))[0][3] == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (0, "just now"),
        (1.4, "1 s ago"),
        (89, "89 s ago"),
        (90, "2 min ago"),
        (5399, "90 min ago"),
        (7200, "2 h ago"),
        (172800, "2 days ago"),
    ],
)
def test_gives_ages_in_a_readers_unit(seconds, text):
    """Seconds to days; a clock that was set back is no negative age."""
    assert rows(shown(State("x", "y", 0.1, True, None, NOW - seconds)))[0][4] == text
