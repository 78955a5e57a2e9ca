"""The symbols that are traded, and their prices: a function of time alone."""

import math
import random

#: Each with its price on an ordinary day, in no particular currency.
SYMBOLS = {
    "ANVL": 112.0,
    "BRCH": 48.5,
    "CLVR": 231.0,
    "DUNE": 9.75,
    "ELMS": 67.2,
    "FJRD": 154.3,
    "GLYF": 18.4,
    "HZEL": 88.0,
    "IRIS": 320.5,
    "JNPR": 41.1,
    "KELP": 5.35,
    "LARK": 76.9,
}


def price(symbol: str, at: float) -> float:
    """Return a symbol's price at a time in Unix seconds: waves of several lengths and a jitter."""
    phase = sum(symbol.encode())
    waves = sum(
        size * math.sin(2 * math.pi * at / length + phase * length)
        for size, length in ((0.05, 86400), (0.02, 7200), (0.006, 600), (0.002, 47))
    )
    jitter = random.Random(f"{symbol} {int(at)}").gauss(0, 0.0008)
    return round(SYMBOLS[symbol] * (1 + waves + jitter), 4)
