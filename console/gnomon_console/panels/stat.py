"""A value of now, large, with its past behind it."""

from gnomon_console.looks import look
from gnomon_console.panels.drawn import Drawn, Given, empty, link, reduced


def draw(given: Given) -> Drawn:
    """Return the values as text with their colours, and the points of their past."""
    values = reduced(given)
    if not values:
        return {"empty": empty(given.panel)}
    named = given.panel.options.get("textMode") in {"value_and_name", "name"} or len(values) > 1
    found = []
    for shown, value, series, target in values:
        own = look(given.panel, shown, target.ref)
        one = {"text": own.text(value), "colour": own.colour(value)}
        if named:
            one["name"] = shown
        if leads := link(given, own, series.labels):
            one["link"] = leads
        found.append(one)
    filled = given.panel.options.get("colorMode") == "background"
    return {"values": found, "filled": filled}
