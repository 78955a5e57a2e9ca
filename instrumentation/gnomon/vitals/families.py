"""What is measured of pages; buckets end at the bounds that are commonly called good and poor."""

from gnomon import subjects
from gnomon.families import Counters, Histograms

#: Most routes that are told apart.
CAP = 500

_SECONDS = {
    "lcp": (
        "Time until the largest part of the page was drawn (good until 2.5 s, poor from 4 s).",
        (0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 6, 10, 20, 60),
    ),
    "inp": (
        "Time from an interaction to the next frame, of nearly the slowest one of the page view"
        " (good until 0.2 s, poor from 0.5 s).",
        (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2, 5),
    ),
    "fcp": (
        "Time until anything of the page was drawn (good until 1.8 s, poor from 3 s).",
        (0.1, 0.25, 0.5, 1, 1.4, 1.8, 2.4, 3, 4, 6, 10, 20, 60),
    ),
    "ttfb": (
        "Time until the first byte of the page came (good until 0.8 s, poor from 1.8 s).",
        (0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 1.8, 3, 5, 10, 30),
    ),
}

#: By the name in a report; seconds, but for cls.
vitals = {
    name: Histograms(
        f"gnomon_web_vitals_{name}_seconds", documentation, ("http_route",), CAP, bounds
    )
    for name, (documentation, bounds) in _SECONDS.items()
}
vitals["cls"] = Histograms(
    "gnomon_web_vitals_cls",
    "How much of the page moved by itself, the worst session of shifts of the page view"
    " (good until 0.1, poor from 0.25).",
    ("http_route",),
    CAP,
    (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2),
)
rejected = Counters(
    "gnomon_web_vitals_rejected",
    "Reports of browsers that were not counted, by reason.",
    ("reason",),
    20,
)
subjects.add(*vitals.values(), rejected)
