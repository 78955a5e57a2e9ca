"""The landing page: how each collector fared last, for people.

One document with its own style and icon, for light and dark, wide and narrow. It needs no
script and loads nothing.
"""

import time
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from gnomon_exporter.page import State

# Failures first; what has nothing to say last.
_ORDER = ("failed", "not run yet", "fine", "nothing here")

# Longest error text that is shown whole, in characters.
_ERROR_LIMIT = 1000

_NOT_YET = (
    '<p class="note calm">Nothing has run yet: collectors run when <a href="metrics">/metrics</a> '
    "is scraped, a target when its own page is.</p>"
)

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Ccircle cx='16' cy='16' r='16' fill='%23f2b33d'/%3E"
    "%3Cpath d='M9 23V7l15 16z' fill='%231d2433'/%3E%3C/svg%3E"
)

_STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #1d2433; --soft: #5b6577; --line: #e1e5eb;
  --link: #0b5cad; --good: #1a7f4b; --bad: #c0262d; --none: #6b7485;
  --bad-page: #fdf0f0 }
@media (prefers-color-scheme: dark) { :root {
  --page: #12161e; --card: #1a202b; --text: #e4e8ef; --soft: #9aa5b8; --line: #2b3443;
  --link: #7ab5f5; --good: #52c48a; --bad: #ff7b80; --none: #8a94a6;
  --bad-page: #33191d } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
.wide { max-width: 1200px; margin: 0 auto; padding: 0 20px }
header { background: var(--card); border-bottom: 1px solid var(--line) }
header .wide { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px;
  padding-top: 14px; padding-bottom: 14px }
h1 { font-size: 19px; font-weight: 650; margin: 0 }
header img { width: 28px; height: 28px; display: block }
.version { color: var(--soft); font-size: 13px }
nav { margin-left: auto; display: flex; gap: 18px }
a { color: var(--link); text-decoration: none }
a:hover, a:focus-visible { text-decoration: underline }
.sums { display: flex; flex-wrap: wrap; gap: 6px 26px; margin: 22px 0 14px }
.sums b { font-size: 22px; font-weight: 650; font-variant-numeric: tabular-nums }
.sums span { color: var(--soft) }
.note { background: var(--bad-page); border-left: 4px solid var(--bad); border-radius: 6px;
  padding: 10px 14px; margin: 18px 0; overflow-wrap: anywhere }
.calm { background: var(--card); border-left-color: var(--link) }
table { width: 100%; border-collapse: separate; border-spacing: 0; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px }
th { text-align: left; font-size: 12.5px; font-weight: 600; color: var(--soft);
  padding: 10px 14px; border-bottom: 1px solid var(--line); white-space: nowrap }
td { padding: 9px 14px; border-top: 1px solid var(--line); vertical-align: top }
tbody tr:first-child td { border-top: 0 }
tr.failed td { background: var(--bad-page) }
tbody tr:last-child td:first-child { border-bottom-left-radius: 9px }
tbody tr:last-child td:last-child { border-bottom-right-radius: 9px }
.name { font-weight: 600 }
.about { color: var(--soft); font-size: 13.5px }
.error { color: var(--bad); font: 13px/1.45 ui-monospace, Menlo, "DejaVu Sans Mono", monospace;
  margin-top: 4px; overflow-wrap: anywhere; white-space: pre-wrap }
.reason { color: var(--soft); font-size: 13.5px; font-style: italic; overflow-wrap: anywhere }
.state { white-space: nowrap }
.state::before { content: ""; display: inline-block; width: 9px; height: 9px; margin-right: 8px;
  border-radius: 50%; background: currentColor }
.good { color: var(--good) }
.bad { color: var(--bad); font-weight: 600 }
.none { color: var(--none) }
.none::before { background: none; border: 2px solid currentColor }
.time, .ago { white-space: nowrap; font-variant-numeric: tabular-nums }
th.time, td.time { text-align: right }
.ago { color: var(--soft) }
footer { color: var(--soft); font-size: 13.5px; margin: 18px 0 32px }
code { font: 0.94em ui-monospace, Menlo, "DejaVu Sans Mono", monospace }
@media (max-width: 640px) {
  .wide { padding-left: 14px; padding-right: 14px }
  nav { margin-left: 0; width: 100% }
  thead { display: none }
  table, tbody { display: block }
  tr { display: grid; grid-template-columns: 1fr auto; gap: 0 14px; padding: 10px 14px;
    border-top: 1px solid var(--line) }
  tr:first-child { border-top: 0 }
  tr.failed { background: var(--bad-page) }
  tr td, tbody tr:first-child td { padding: 0; border: 0; background: none }
  td.what { grid-column: 1 / -1; order: 3; margin-top: 2px }
  td.what .name { display: none }
  td.which { order: 1 }
  td.how { order: 2; text-align: right }
  td.time, td.ago { order: 4; font-size: 13.5px; text-align: left }
  td.ago { text-align: right }
}
"""


def page(
    states: Sequence[State], *, host: str, version: str, notes: Sequence[str], now: float
) -> bytes:
    """Return the page as HTML.

    states: the collectors that are on; the failed ones are shown first. host: the machine's
    name. notes: sentences about what else is wrong. now: Unix time, from which the age of the
    last run is told.
    """
    ordered = sorted(states, key=lambda state: _ORDER.index(_word(state)[1]))
    rows = "".join([_row(state, now) for state in ordered])
    warnings = "".join([f'<p class="note" role="alert">{escape(note)}</p>' for note in notes])
    if not any(state.last_run is not None for state in states):
        warnings += _NOT_YET
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(host)}: gnomon-exporter</title>
<link rel="icon" href="{_ICON}">
<style>{_STYLE}</style>
</head>
<body>
<header><div class="wide">
<img src="{_ICON}" alt=""><h1>gnomon-exporter</h1>
<span class="version">{escape(version)} on {escape(host)}</span>
<nav><a href="metrics">Metrics</a><a href="config">Configuration</a></nav>
</div></header>
<main class="wide">
{warnings}
{_sums(states)}
<table>
<thead><tr><th>Collector</th><th>Subject</th><th>State</th><th class="time">Took</th>
<th>Last run</th></tr></thead>
<tbody>{rows}</tbody>
</table>
<footer>The numbers are those of the last scrape; opening this page runs no collector.
<code>docs/metrics.md</code> in the source tree explains every metric.</footer>
</main>
</body>
</html>
""".encode("utf-8", "replace")


def _row(state: State, now: float) -> str:
    css, word = _word(state)
    name = escape(state.name)
    collector = quote(state.name, safe="")
    link = f"metrics?collect%5B%5D={collector}"
    if state.target:
        name += f" {escape(state.target)}"
        link = f"probe?collector={collector}&amp;target={quote(state.target, safe='')}"
    error = ""
    if state.error and state.success is not True:
        # That a machine has no such device is a reason for silence, not an error.
        kind = "reason" if state.success is None else "error"
        error = f'<div class="{kind}">{escape(_cut(state.error))}</div>'
    took = "" if state.duration is None else _duration(state.duration)
    ago = ""
    if state.last_run is not None:
        utc = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(state.last_run))
        ago = f'<time title="{utc}">{_age(now - state.last_run)}</time>'
    return (
        f"<tr{' class=failed' if state.success is False else ''}>"
        f'<td class="which"><a class="name" href="{link}">{name}</a></td>'
        f'<td class="what"><span class="about">{escape(state.description)}</span>{error}</td>'
        f'<td class="how"><span class="state {css}">{word}</span></td>'
        f'<td class="time">{took}</td><td class="ago">{ago}</td></tr>\n'
    )


def _word(state: State) -> tuple[str, str]:
    if state.success is True:
        return "good", "fine"
    if state.success is False:
        return "bad", "failed"
    return "none", "not run yet" if state.last_run is None else "nothing here"


def _sums(states: Sequence[State]) -> str:
    words = [_word(state)[1] for state in states]
    kinds = [
        ("fine", "fine"),
        ("failed", "failed"),
        ("nothing here", "with nothing to report on this host"),
        ("not run yet", "not run yet"),
    ]
    targets = sum(bool(state.target) for state in states)
    parts = [f"<div><b>{len(states) - targets}</b> <span>collectors on</span></div>"]
    if targets:
        parts.append(f"<div><b>{targets}</b> <span>targets</span></div>")
    for word, text in kinds:
        if count := words.count(word):
            css = ' class="bad"' if word == "failed" else ""
            parts.append(f"<div><b{css}>{count}</b> <span>{text}</span></div>")
    return f'<div class="sums">{"".join(parts)}</div>'


def _cut(text: str) -> str:
    return text if len(text) <= _ERROR_LIMIT else text[:_ERROR_LIMIT] + "…"


def _duration(seconds: float) -> str:
    if seconds < 0.00095:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.0095:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s"


def _age(seconds: float) -> str:
    if seconds < 1:
        return "just now"
    for limit, unit, word in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{round(seconds / unit)} {word} ago"
    return f"{round(seconds / 86400)} days ago"
