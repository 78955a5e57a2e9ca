"""The page's text, read back by prometheus-client's parser."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gnomon_exporter.exposition import LABEL_VALUE_LIMIT, render, write
from gnomon_exporter.families import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    UntypedMetricFamily,
)


def _labelled(value):
    family = GaugeMetricFamily("hostile", "Hostile.", labels=["value"])
    family.add_metric([value], 1)
    return family


def _parsed(*families):
    return list(text_string_to_metric_families(render(families).decode()))


@pytest.mark.parametrize(
    "value",
    [
        '"',
        "\\",
        "\n",
        '\\"',
        "\\n",
        'a"} 1\nevil{x="',
        "",
        "ü€😀",
        "\x00\x1f",
        "\r",
        "\u2028",
        "# HELP",
    ],
)
def test_hostile_label_values_come_back_whole(value):
    """Whatever a value holds, it stays inside its quotes and is read back as it was."""
    (family,) = _parsed(_labelled(value))
    assert [sample.labels["value"] for sample in family.samples] == [value]


def test_lone_surrogates_do_not_break_the_page():
    """A name decoded from bytes that are not UTF-8 is written as valid UTF-8."""
    assert render([_labelled("a\udcffb")]).decode() == (
        '# HELP hostile Hostile.\n# TYPE hostile gauge\nhostile{value="a?b"} 1\n'
    )


def test_long_values_are_cut_and_stay_apart():
    """Two values of a megabyte that differ in their last character are two short series."""
    family = GaugeMetricFamily("long", "Long.", labels=["value"])
    family.add_metric(["x" * 1_000_000 + "1"], 1)
    family.add_metric(["x" * 1_000_000 + "2"], 2)
    values = [sample.labels["value"] for sample in _parsed(family)[0].samples]
    assert len(set(values)) == 2
    assert all(len(value) == LABEL_VALUE_LIMIT for value in values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (2**63, "9223372036854775808"),
        (0.1, "0.1"),
        (1e-9, "1e-09"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (True, "1.0"),
    ],
)
def test_numbers(value, text):
    """Numbers are written so that no digit is lost."""
    assert render([GaugeMetricFamily("n", "N.", value)]).splitlines()[-1] == f"n {text}".encode()


def test_help_is_escaped():
    """A line end or backslash in a HELP text stays on its line."""
    page = render([GaugeMetricFamily("h", "one\ntwo \\ three", 1)]).decode()
    assert page.splitlines()[0] == r"# HELP h one\ntwo \\ three"


def test_counters_keep_their_name_to_the_letter():
    """A counter has the name of its samples, with or without _total."""
    old = Metric("old_style", "Old.", "counter")
    old.add_sample("old_style", {}, 1)
    page = render([CounterMetricFamily("new_total", "New.", 1), old]).decode()
    assert "# TYPE new_total counter\nnew_total 1\n" in page
    assert "# TYPE old_style counter\nold_style 1\n" in page


def test_untyped_and_histogram():
    """Untyped stays untyped; a histogram keeps its parts under one header."""
    histogram = Metric("h", "H.", "histogram")
    histogram.add_sample("h_bucket", {"le": "0.5"}, 1)
    histogram.add_sample("h_bucket", {"le": "+Inf"}, 2)
    histogram.add_sample("h_count", {}, 2)
    histogram.add_sample("h_sum", {}, 3)
    page = render([UntypedMetricFamily("u", "U.", 1), histogram]).decode()
    assert "# TYPE u untyped\n" in page
    assert page.endswith(
        '# TYPE h histogram\nh_bucket{le="0.5"} 1\nh_bucket{le="+Inf"} 2\nh_count 2\nh_sum 3\n'
    )


def test_a_timestamp_is_written_in_milliseconds():
    """A sample's own time goes out as the format wants it."""
    family = GaugeMetricFamily("t", "T.")
    family.add_sample("t", {}, 1, 1.5)
    assert render([family]).endswith(b"t 1 1500\n")


def test_a_family_without_samples_has_no_header():
    """An empty family leaves no line behind."""
    assert render([GaugeMetricFamily("empty", "Empty.")]) == b""


@pytest.mark.parametrize("name", ["", "1a", "a b", "a\n", "a-b", "ä"])
def test_refuses_names_that_classic_text_cannot_hold(name):
    """A bad name is found before anything is written."""
    family = GaugeMetricFamily("ok", "Ok.")
    family.add_sample(name, {}, 1)
    with pytest.raises(ValueError, match="not a metric name"):
        write(family)
    family = GaugeMetricFamily("ok", "Ok.")
    family.add_sample("ok", {name: "x"}, 1)
    with pytest.raises(ValueError, match="not a label name"):
        write(family)
