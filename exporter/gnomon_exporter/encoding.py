"""Whether an answer may be compressed."""


def accepts_gzip(header: str) -> bool:
    """Whether a client that sends this Accept-Encoding wants gzip.

    It does unless it gives gzip the weight 0, or a lower one than it gives to plain text. ``*``
    stands for gzip where that is not named. An encoding whose weight is no number is not wanted.
    """
    weights: dict[str, float] = {}
    for part in header.split(","):
        coding, _, parameters = part.partition(";")
        weights[coding.strip().lower()] = _weight(parameters)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight(parameters: str) -> float:
    name, _, value = parameters.partition("=")
    if not name.strip():
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    # NaN is no weight either.
    return weight if name.strip().lower() == "q" and 0.0 <= weight <= 1.0 else 0.0
