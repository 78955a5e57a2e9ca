"""What a viewer chooses at the head of a dashboard."""

from dataclasses import dataclass
from typing import Any

from gnomon_dashboards.queries import DATASOURCE

#: Where the metrics come from. The uid is that of the provisioned one; another is taken if there
#: is none of that name.
DATASOURCE_CHOICE: dict[str, Any] = {
    "current": {"selected": False, "text": "Prometheus", "value": "prometheus"},
    "hide": 0,
    "includeAll": False,
    "label": "Data source",
    "multi": False,
    "name": "datasource",
    "options": [],
    "query": "prometheus",
    "refresh": 1,
    "regex": "",
    "skipUrlSync": False,
    "type": "datasource",
}

#: "All" as a matcher, whatever there is; not a list of every value.
_EVERYTHING = ".+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A choice among the values that one label has.

    name: of the variable and of the label, unless ``label`` says another. source: the series whose
    labels count; another choice's ``$name`` may stand in it. title: what stands before it. one:
    exactly one value, the first unless chosen; otherwise any number, all unless chosen, which is
    what ``=~"$name"`` is for. optional: series without the label belong to "all".
    """

    name: str
    source: str
    title: str
    label: str = ""
    one: bool = False
    optional: bool = False

    def json(self) -> dict[str, Any]:
        """Return it as Grafana stores it."""
        query = {
            "query": f"label_values({self.source}, {self.label or self.name})",
            "refId": self.name,
        }
        everything = {"selected": True, "text": "All", "value": "$__all"}
        if not self.one:
            everything |= {"text": ["All"], "value": ["$__all"]}
        return {
            "allValue": None if self.one else ".*" if self.optional else _EVERYTHING,
            "current": {} if self.one else everything,
            "datasource": DATASOURCE,
            "definition": query["query"],
            "hide": 0,
            "includeAll": not self.one,
            "label": self.title,
            "multi": not self.one,
            "name": self.name,
            "options": [],
            "query": query,
            "refresh": 2,  # as the time on show changes
            "regex": "",
            "skipUrlSync": False,
            "sort": 1,  # by the alphabet
            "type": "query",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A choice among values that are known here; the first unless chosen.

    values: what is shown, and the value it stands for.
    """

    name: str
    title: str
    values: tuple[tuple[str, str], ...]

    def json(self) -> dict[str, Any]:
        """Return it as Grafana stores it."""
        options = [
            {"selected": n == 0, "text": text, "value": value}
            for n, (text, value) in enumerate(self.values)
        ]
        return {
            "current": options[0],
            "hide": 0,
            "includeAll": False,
            "label": self.title,
            "multi": False,
            "name": self.name,
            "options": options,
            "query": ", ".join(f"{text} : {value}" for text, value in self.values),
            "skipUrlSync": False,
            "type": "custom",
        }
