"""A page's series by what stands before their value, once a parser has accepted the page."""

from prometheus_client.parser import text_string_to_metric_families


def series_of(page: str) -> dict[str, float]:
    """Return the value of each line of a page; fail where it does not parse or a line repeats."""
    for family in text_string_to_metric_families(page):
        assert family.samples
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    found = {series: float(value) for series, _, value in lines}
    assert len(found) == len(lines), "a series comes twice"
    return found
