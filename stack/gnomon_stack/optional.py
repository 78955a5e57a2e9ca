"""Parts that can be left out: by a variable, or for want of their packages."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from gnomon_stack.trouble import Trouble


def left_out(
    environ: Mapping[str, str], variable: str, needed: Sequence[str], extra: str
) -> str | None:
    """Return why a part does not run, or None where nothing speaks against it.

    variable: on or off. needed: the packages that it imports; extra: what brings them.

    Raise Trouble for a value of the variable that is neither.
    """
    word = environ.get(variable, "").strip().lower() or "on"
    if word not in {"on", "off"}:
        raise Trouble(f"{variable}={environ[variable]}: expected on or off", code=2)
    if word == "off":
        return f"{variable}=off"
    if missing := [name for name in needed if find_spec(name) is None]:
        return f"{', '.join(missing)} is not installed: it comes with the extra '{extra}'"
    return None
