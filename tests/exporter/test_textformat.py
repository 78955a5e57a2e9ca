"""Reading the classic text format."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gnomon_exporter.textformat import Family, parse


def _values(text):
    return [
        (sample.name, sample.labels, sample.value)
        for family in parse(text)
        for sample in family.samples
    ]


def test_names_stay_to_the_letter():
    """A counter with _total and one without are two names; so are untyped and typed metrics."""
    text = (
        "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total 1\n"
        "# TYPE jobs counter\njobs 2\n"
        "free 3\n"
    )
    assert [(family.name, family.kind, family.help) for family in parse(text)] == [
        ("jobs_total", "counter", "Jobs."),
        ("jobs", "counter", None),
        ("free", None, None),
    ]
    assert _values(text) == [("jobs_total", {}, 1.0), ("jobs", {}, 2.0), ("free", {}, 3.0)]


def test_parts_of_histograms_and_summaries_belong_together():
    """Buckets, counts and sums join their family, also after another one."""
    text = (
        "# TYPE h histogram\n"
        'h_bucket{le="1"} 1\n'
        "# TYPE s summary\n"
        's{quantile="0.5"} 7\n'
        'h_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n'
        "s_sum 4\ns_count 5\n"
        "h_total 6\n"
    )
    assert [(family.name, len(family.samples)) for family in parse(text)] == [
        ("h", 4),
        ("s", 3),
        ("h_total", 1),
    ]


def test_a_count_without_a_summary_is_a_metric_of_its_own():
    """Only a TYPE line makes foo_count part of foo."""
    text = "# TYPE foo gauge\nfoo 1\nfoo_count 2\nfoo_bucket 3\n"
    assert [family.name for family in parse(text)] == ["foo", "foo_count", "foo_bucket"]


def test_samples_of_one_name_belong_together():
    """Without a TYPE line and with others in between."""
    (first, second) = parse('a{x="1"} 1\nb 2\na{x="2"} 3\n')
    assert (len(first.samples), len(second.samples)) == (2, 1)


@pytest.mark.parametrize(
    ("line", "labels"),
    [
        ("a 1", {}),
        ("a{} 1", {}),
        ('a{x="y"} 1', {"x": "y"}),
        ('a{x="y"}1', {"x": "y"}),
        ('a{x="y",} 1', {"x": "y"}),
        ('\t a { x = "y" , z = "" } \t1', {"x": "y", "z": ""}),
        (r'a{x="C:\\d\n\"q\""} 1', {"x": 'C:\\d\n"q"'}),
        ('a{x="}{,=#"} 1', {"x": "}{,=#"}),
        ('a{x="ü\x0b\u2028"} 1', {"x": "ü\x0b\u2028"}),
        ("a 1 \t", {}),
    ],
)
def test_labels(line, labels):
    """Blanks around every part, escapes, braces and separators inside of values."""
    assert _values(line + "\n") == [("a", labels, 1.0)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-1.5e-3", -0.0015),
        (".5", 0.5),
        ("5.", 5.0),
        ("+Inf", math.inf),
        ("-inf", -math.inf),
        ("12345678901234567890", 12345678901234567890.0),
    ],
)
def test_numbers(text, value):
    """Every way to write one."""
    assert _values(f"a {text}\n") == [("a", {}, value)]


def test_not_a_number_is_a_number():
    """NaN is a value like others."""
    ((_, _, value),) = _values("a NaN\n")
    assert math.isnan(value)


def test_comments_say_nothing():
    """Nor do blank lines, keywords alone and an end of file."""
    text = "# a comment\n#\n\n   \n# HELP\n# TYPE\n# TYPE a\n# HELPS a b\n# EOF\na 1\n"
    assert parse(text) == [Family("a", None, None, parse("a 1\n")[0].samples)]


@pytest.mark.parametrize(
    ("text", "help_text"),
    [
        ("#HELP a  Two  blanks. \na 1\n", "Two  blanks."),
        ("# HELP a x\\\\y\\nz\\q\na 1\n", "x\\y\nz\\q"),
        ("a 1\n# HELP a Afterwards.\n", "Afterwards."),
        ("# HELP a\na 1\n", None),
    ],
)
def test_help(text, help_text):
    """Escaped as the format says; an unknown escape stays as it is."""
    assert parse(text)[0].help == help_text


@pytest.mark.parametrize("text", ["", "\n\n", "# TYPE a gauge\n# HELP a b\n"])
def test_no_samples_no_families(text):
    """An empty file is a valid one."""
    assert parse(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1\nb 2", "the last line has no end"),
        ("a 1\nb", "the last line has no end"),
        ("a 1\nb\n", "line 2: neither a comment nor a sample: 'b'"),
        ('a{x="y\n', "line 1: neither"),
        ('a{x="y" 1\n', "neither"),
        ("a 1 1700000000000\n", "a timestamp"),
        ("a 1 # {} 2\n", "text behind the value"),
        ("a yes\n", "could not convert"),
        ("a 1_000\n", "not a number"),
        ("a 0x10\n", "could not convert"),
        ("a \u0661\n", "not a number"),
        ("a 1\r\n", "not a number"),
        ("a\u00a01\n", "not a number"),
        ("a1\n", "neither a comment nor a sample: 'a1'"),
        ("1a 1\n", "neither"),
        ("a-b 1\n", "could not convert"),
        ('{"a.b"} 1\n', "neither"),
        ('a{x="y" z="y"} 1\n', "labels are not in the format"),
        ('a{,x="y"} 1\n', "labels are not in the format"),
        ('a{x="y",,} 1\n', "labels are not in the format"),
        ("a{x=y} 1\n", "labels are not in the format"),
        ('a{1="y"} 1\n', "labels are not in the format"),
        ('a{x="C:\\d"} 1\n', "labels are not in the format"),
        ('a{x="1",x="2"} 1\n', "a label comes twice"),
        ('a{__name__="b"} 1\n', "a label named __name__"),
        ("# TYPE a number\na 1\n", "not a type"),
        ("# TYPE a gauge\n# TYPE a gauge\na 1\n", "line 2: a second TYPE line"),
        ("# HELP a b\n# HELP a b\na 1\n", "line 2: a second HELP line"),
        ("a 1\n# TYPE a gauge\n", "a TYPE line behind"),
        ("# HELP 1a b\n", "not a metric name"),
    ],
)
def test_refuses_what_prometheus_refuses(text, message):
    """With the line, so that whoever wrote the file finds it."""
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_a_long_line_is_not_repeated_in_the_message():
    """A megabyte of rubbish does not become a megabyte of log."""
    with pytest.raises(ValueError, match="line 1") as caught:
        parse("x" * 1_000_000 + "!\n")
    assert len(str(caught.value)) < 300


def test_a_megabyte_in_a_label_is_read_in_time():
    """No expression in here takes more than linear time."""
    value = 'quote\\" }{ ' * 100_000
    ((_, labels, _),) = _values(f'a{{x="{value}"}} 1\n')
    assert len(labels["x"]) == 1_000_000
    with pytest.raises(ValueError, match="line 1"):
        parse(f'a{{x="{value} 1\n')


def test_agrees_with_prometheus_client():
    """Its parser reads the same series in what is neither a counter nor broken."""
    text = (
        "# HELP g A gauge.\n# TYPE g gauge\n"
        'g{a="1",b="x y"} 1.5\ng{a="2",b="\\"q\\" \\\\ \\n"} -3e9\n'
        "# TYPE h histogram\n"
        'h_bucket{le="0.5"} 1\nh_bucket{le="+Inf"} 2\nh_sum 0.7\nh_count 2\n'
        '# TYPE s summary\ns{quantile="0.9"} 4\ns_sum 9\ns_count 3\n'
    )
    theirs = [
        (family.name, family.type, [sample[:4] for sample in family.samples])
        for family in text_string_to_metric_families(text)
    ]
    ours = [(family.name, family.kind, [*map(tuple, family.samples)]) for family in parse(text)]
    assert ours == theirs
