"""Which devices, mounts and sensors a collector reports: regular expressions from its settings."""

import re


class NameFilter:
    """Keeps the names that ``include`` matches, or those that ``exclude`` does not.

    Both match anywhere in the name, as node_exporter's flags do. An empty expression says
    nothing. Whoever sets an include means it: an exclude that is only the ``default`` gives way.

    setting: the beginning of the two settings' names, such as "mount_points", for messages.

    Raises ValueError for an invalid expression and when both are set.
    """

    def __init__(self, setting: str, *, exclude: str, include: str, default: str = "") -> None:
        if include and exclude == default:
            exclude = ""
        if include and exclude:
            raise ValueError(
                f"{setting}_include and {setting}_exclude exclude each other: set one of them"
            )
        self._exclude = compiled(f"{setting}_exclude", exclude) if exclude else None
        self._include = compiled(f"{setting}_include", include) if include else None

    def keeps(self, name: str) -> bool:
        """Say whether ``name`` is reported."""
        if self._exclude is not None:
            return self._exclude.search(name) is None
        return self._include is None or self._include.search(name) is not None


def compiled(setting: str, expression: str) -> re.Pattern[str]:
    """Compile a setting's regular expression; ValueError names the setting and the fault."""
    try:
        return re.compile(expression)
    except re.error as error:
        raise ValueError(
            f"{setting}: not a regular expression: {expression!r}: {error}. "
            "Python's syntax applies; \\z and [[:class:]] of other engines are unknown to it."
        ) from None
