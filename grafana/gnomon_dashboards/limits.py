"""The numbers at which alerts change their mind, as dashboards show them.

Both come from prometheus/thresholds.yml. A graph draws the recording, which knows the overrides
of one machine or service; a single value is coloured by the number that holds for most.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from gnomon_stack import thresholds

ROOT = Path(__file__).resolve().parents[2]


@cache
def _values() -> Mapping[str, float]:
    return {
        threshold.name: threshold.value
        for group in thresholds.read(ROOT / thresholds.SOURCE)
        for threshold in group.thresholds
    }


def value(name: str) -> float:
    """Return the number of a threshold, in the unit of its name: ``memory_high:ratio``.

    Raise KeyError for one that thresholds.yml does not have.
    """
    return _values()[name]


def recording(name: str) -> str:
    """Return the recording of a threshold, which has the labels of the level it is for.

    Raise KeyError for one that thresholds.yml does not have.
    """
    value(name)
    return f"threshold:{name}"
