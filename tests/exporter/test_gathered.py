"""Families made while a subject is read."""

from gnomon_exporter.exposition import render
from gnomon_exporter.gathered import Gathered


def test_each_name_becomes_a_family_with_its_first_series():
    """In that order, with the first series' HELP text and label names, a counter by its name."""
    page = Gathered("node_x_")
    page.add("b_total", "B.", 1, device="a")
    page.add("a", "A.", 2.5)
    page.add("b_total", "Not shown.", 3, device="b")
    assert render(page.families()).decode().splitlines() == [
        "# HELP node_x_b_total B.",
        "# TYPE node_x_b_total counter",
        'node_x_b_total{device="a"} 1',
        'node_x_b_total{device="b"} 3',
        "# HELP node_x_a A.",
        "# TYPE node_x_a gauge",
        "node_x_a 2.5",
    ]


def test_a_number_that_is_not_there_adds_nothing():
    """No series, and no family without one."""
    page = Gathered("node_x_")
    page.add("a", "A.", None)
    assert list(page.families()) == []
