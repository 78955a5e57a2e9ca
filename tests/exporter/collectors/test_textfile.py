"""The textfile collector."""

import logging
import os
import time

import pytest

from gnomon_exporter.collectors.textfile import TextfileCollector
from gnomon_exporter.exposition import render
from gnomon_exporter.paths import Paths

LONG_AGO = 1_700_000_000


@pytest.fixture
def put(tmp_path):
    """Return a function that writes files into a directory and collects from it."""

    def write(**files):
        for name, content in files.items():
            path = tmp_path / f"{name}.prom"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            os.utime(path, (LONG_AGO, LONG_AGO + 0.75))
        return TextfileCollector(Paths(), directory=(str(tmp_path),))

    return write


def _without_mtime(lines):
    return [line for line in lines if "node_textfile_mtime_seconds" not in line]


def _error(lines):
    return lines[-1].split()[-1]


def test_files_keep_their_names_to_the_letter(put, exposed, tmp_path):
    """Counters with and without _total, untyped, histograms and summaries come out as written."""
    collector = put(
        backup=(
            "# HELP backup_runs_total Runs.\n# TYPE backup_runs_total counter\n"
            'backup_runs_total{job="db"} 5\n'
            "# TYPE backup_bytes counter\nbackup_bytes 1e9\n"
            "backup_age_seconds 3600\n"
        ),
        latency=(
            '# TYPE l histogram\nl_bucket{le="1"} 1\nl_bucket{le="+Inf"} 2\nl_sum 3\nl_count 2\n'
            '# TYPE q summary\nq{quantile="0.5"} 7\nq_sum 8\nq_count 9\n'
        ),
    )
    assert exposed(collector) == [
        "# TYPE backup_runs_total counter",
        'backup_runs_total{job="db"} 5.0',
        "# TYPE backup_bytes counter",
        "backup_bytes 1000000000.0",
        "# TYPE backup_age_seconds untyped",
        "backup_age_seconds 3600.0",
        "# TYPE l histogram",
        'l_bucket{le="1"} 1.0',
        'l_bucket{le="+Inf"} 2.0',
        "l_sum 3.0",
        "l_count 2.0",
        "# TYPE q summary",
        'q{quantile="0.5"} 7.0',
        "q_sum 8.0",
        "q_count 9.0",
        "# TYPE node_textfile_mtime_seconds gauge",
        f'node_textfile_mtime_seconds{{file="{tmp_path}/backup.prom"}} {LONG_AGO}',
        f'node_textfile_mtime_seconds{{file="{tmp_path}/latency.prom"}} {LONG_AGO}',
        "# TYPE node_textfile_scrape_error gauge",
        "node_textfile_scrape_error 0",
    ]


def test_no_directory_no_files(exposed):
    """Without a setting there is nothing to read, which is no error."""
    assert exposed(TextfileCollector(Paths())) == [
        "# TYPE node_textfile_scrape_error gauge",
        "node_textfile_scrape_error 0",
    ]


def test_an_empty_directory_is_no_error(put, exposed):
    """Nothing has been written yet."""
    assert _error(exposed(put())) == "0"


def test_only_prom_files_are_read(put, exposed, tmp_path):
    """A writer's temporary file is left alone; a hidden one that ends in .prom is not."""
    (tmp_path / "a.prom.tmp").write_text("a 1\n")
    (tmp_path / "b.txt").write_text("b 1\n")
    (tmp_path / ".c.prom").write_text("c 1\n")
    lines = exposed(put())
    assert "c 1.0" in lines
    assert not [line for line in lines if line.startswith(("a", "b"))]


@pytest.mark.parametrize(
    "content",
    [
        "good 1\nbad",
        "good 1\nbad 2",
        'good 1\nbad{x="y\n',
        "good 1\nbad 2 1700000000000\n",
        b'good{x="\xff"} 1\n',
        "x" * 5_000_000,
        "#" + "x" * 5_000_000 + "\n",
    ],
    ids=["half a line", "no line end", "half a label", "timestamp", "not UTF-8", "huge", "comment"],
)
def test_a_bad_file_is_left_out_as_a_whole(put, exposed, content):
    """The error is set, the file has no age, and the other files are whole."""
    lines = exposed(put(bad=content, other="other 1\n"))
    assert _error(lines) == "1"
    assert "other 1.0" in lines
    assert not [line for line in lines if line.startswith(("bad", "good")) or "bad.prom" in line]


def test_what_is_no_file_is_left_out(put, exposed, tmp_path):
    """A directory, a pipe that nobody writes to, a link to nowhere: none of them blocks."""
    (tmp_path / "directory.prom").mkdir()
    os.mkfifo(tmp_path / "pipe.prom")
    (tmp_path / "link.prom").symlink_to(tmp_path / "nowhere")
    lines = exposed(put(other="other 1\n"))
    assert _error(lines) == "1"
    assert "other 1.0" in lines


def test_a_file_that_vanishes_meanwhile(put, exposed, tmp_path, monkeypatch):
    """It was in the directory's list and is gone when it is read."""
    collector = put(other="other 1\n")
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*real(path), "gone.prom"])
    lines = exposed(collector)
    assert _error(lines) == "1"
    assert "other 1.0" in lines
    assert f'node_textfile_mtime_seconds{{file="{tmp_path}/other.prom"}} {LONG_AGO}' in lines


def test_a_missing_directory_is_an_error(tmp_path, put, exposed):
    """Whoever names one expects it to be there; others are read all the same."""
    put(other="other 1\n")
    directories = (str(tmp_path / "missing"), str(tmp_path))
    lines = exposed(TextfileCollector(Paths(), directory=directories))
    assert _error(lines) == "1"
    assert "other 1.0" in lines


def test_directories_may_be_patterns(tmp_path, exposed):
    """In order, each directory once; a pattern that matches nothing is an error."""
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.prom").write_text(f'm{{d="{name}"}} 1\n')
    collector = TextfileCollector(
        Paths(), directory=(f"{tmp_path}/[ab]", f"{tmp_path}/a/", f"{tmp_path}/*")
    )
    lines = exposed(collector)
    assert [line for line in lines if line.startswith("m{")] == ['m{d="a"} 1.0', 'm{d="b"} 1.0']
    assert f'file="{tmp_path}/a/x.prom"' in "".join(lines)
    assert _error(lines) == "0"
    nothing = TextfileCollector(Paths(), directory=(f"{tmp_path}/none*",))
    assert _error(exposed(nothing)) == "1"


def test_the_same_metric_in_several_files(put, exposed):
    """One family, one HELP line, all series: also when one file gives no HELP."""
    collector = put(
        a='m{f="a"} 1\n', b='# HELP m Text.\nm{f="b"} 2\n', c='# HELP m Text.\nm{f="c"} 3\n'
    )
    assert _without_mtime(exposed(collector)) == [
        "# TYPE m untyped",
        'm{f="a"} 1.0',
        'm{f="b"} 2.0',
        'm{f="c"} 3.0',
        "# TYPE node_textfile_scrape_error gauge",
        "node_textfile_scrape_error 0",
    ]
    assert b"# HELP m Text.\n" in render(collector.collect())


@pytest.mark.parametrize(
    "second",
    ['# HELP m Other.\nm{f="b"} 2\nn 3\n', '# TYPE m gauge\nm{f="b"} 2\nn 3\n'],
    ids=["HELP", "TYPE"],
)
def test_the_second_of_two_that_disagree_is_left_out(put, exposed, second):
    """Two HELP or TYPE lines would spoil the page; the rest of its file stays."""
    lines = _without_mtime(exposed(put(a='# HELP m Text.\nm{f="a"} 1\n', b=second)))
    assert lines == [
        "# TYPE m untyped",
        'm{f="a"} 1.0',
        "# TYPE n untyped",
        "n 3.0",
        "# TYPE node_textfile_scrape_error gauge",
        "node_textfile_scrape_error 1",
    ]


@pytest.mark.parametrize("files", [{"a": "m 1\nm 2\n"}, {"a": "m 1\n", "b": "m 2\n"}])
def test_a_series_that_comes_twice_is_reported_once(put, exposed, files):
    """The first one stays."""
    lines = _without_mtime(exposed(put(**files)))
    assert lines[:2] == ["# TYPE m untyped", "m 1.0"]
    assert _error(lines) == "1"


def test_a_metric_without_help_says_where_it_is_from(put, tmp_path):
    """A reader of the page finds the file."""
    assert f"# HELP m From {tmp_path}/a.prom.\n".encode() in render(put(a="m 1\n").collect())


def test_an_unchanged_file_is_not_read_again(put, exposed, tmp_path, monkeypatch):
    """Neither a good nor a bad one; a change is noticed at once."""
    collector = put(good="m 1\n", bad="nonsense\n")
    before = exposed(collector)
    opened = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: opened.append(path) or real(path, *rest, **more)
    )
    assert exposed(collector) == before
    assert opened == []
    (tmp_path / "good.prom").write_text("m 2\n")
    assert "m 2.0" in exposed(collector)
    assert len(opened) == 1


def test_a_fresh_file_is_read_again(put, exposed, tmp_path):
    """A second change in the same tick keeps the time and the size: it must not be missed."""
    collector = put()
    path, now = tmp_path / "m.prom", time.time()
    path.write_text("m 1\n")
    os.utime(path, (now, now))
    assert "m 1.0" in exposed(collector)
    path.write_text("m 2\n")
    os.utime(path, (now, now))
    assert "m 2.0" in exposed(collector)


def test_what_is_cut_from_the_page_is_there_the_next_time(put):
    """A limit on series deletes from the families of one scrape, not from those kept."""
    collector = put(a='m{n="1"} 1\nm{n="2"} 2\n')
    for _ in range(2):
        family = next(iter(collector.collect()))
        assert len(family) == 2
        assert family.cut(1) == 1


def test_all_files_together_are_bounded(tmp_path, exposed):
    """What does not fit is left out; a smaller one behind it still fits."""
    (tmp_path / "a.prom").write_text("a 1\n")
    (tmp_path / "b.prom").write_text("b 1\n" + "# comment\n" * 100)
    (tmp_path / "c.prom").write_text("c 1\n")
    collector = TextfileCollector(Paths(), directory=(str(tmp_path),), max_bytes=100)
    for _ in range(2):
        lines = exposed(collector)
        assert _error(lines) == "1"
        assert [line for line in lines if line.endswith(" 1.0")] == ["a 1.0", "c 1.0"]


def test_each_error_is_logged_once(put, exposed, caplog):
    """With the file, the line and the reason, and again only when it changes."""
    caplog.set_level(logging.WARNING)
    collector = put(bad="m 1\nnonsense\n")
    for _ in range(3):
        exposed(collector)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith("bad.prom: line 2: neither a comment nor a sample: 'nonsense'")
    put(bad="m 1\nmore nonsense\n")
    exposed(collector)
    assert len(caplog.records) == 2


def test_the_error_goes_with_its_cause(put, exposed):
    """A repaired file is back in the next scrape."""
    collector = put(bad="nonsense\n")
    assert _error(exposed(collector)) == "1"
    put(bad="m 1\n")
    assert _error(exposed(collector)) == "0"
