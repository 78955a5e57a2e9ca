"""What stands for something else in a query."""

import pytest

from gnomon_console.macros import ALL, Macros
from gnomon_console.ranges import between

AT = between("now-1h", "now", now=1_700_000_000)


def fill(text, chosen=None, everything=None):
    """Return a text with everything in its place."""
    return Macros(AT, chosen or {}, everything or {}).fill(text)


def test_rates_look_over_four_scrapes_at_least():
    """A shorter time could hold a single sample, and have no rate."""
    assert fill("rate(x[$__rate_interval])") == "rate(x[40s])"
    assert fill("avg_over_time(x[$__interval])") == "avg_over_time(x[15s])"
    assert fill("increase(x[$__range])") == "increase(x[3600s])"


def test_one_value_stands_as_it_is_in_a_string():
    """After `=` nothing in it is special but what ends the string."""
    assert fill('x{a="$a"}', {"a": ['b"} or vector(1) #']}) == 'x{a="b\\"} or vector(1) #"}'


@pytest.mark.parametrize(
    ("values", "matcher"),
    [
        ([ALL], ".+"),
        ([], ".+"),
        (["a"], "a"),
        (["a", "b"], "(a|b)"),
        (["127.0.0.1:80"], "127\\\\.0\\\\.0\\\\.1:80"),
        (['x"} or up #'], 'x\\"\\\\} or up #'),
    ],
)
def test_several_values_stand_as_a_regular_expression(values, matcher):
    """Each matches itself and nothing else, and no value can end the string."""
    assert fill('x{a=~"$a"}', {"a": values}, {"a": ".+"}) == f'x{{a=~"{matcher}"}}'


def test_every_way_to_write_a_variable_is_understood():
    """`$a`, `${a}`, `${a:regex}` and `[[a]]`; what nobody knows stays."""
    assert fill("$a ${a} ${a:regex} [[a]] $other", {"a": ["1"]}) == "1 1 1 1 $other"
