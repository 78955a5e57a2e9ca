"""The symbols that are traded."""

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
