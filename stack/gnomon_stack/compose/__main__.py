"""`python -m gnomon_stack.compose setup|show NAME`, as the service `setup` runs it."""

import os
import sys
from pathlib import Path

from gnomon_stack.compose import passwords, setup
from gnomon_stack.trouble import Trouble

_USAGE = f"usage: setup | show {'|'.join(passwords.NAMES)}"


def main(words: list[str]) -> None:
    """Make what is missing, or print one password."""
    places = setup.Places(Path("/checkout"), Path("/to"))
    try:
        match words:
            case ["setup"]:
                for line in setup.run(places, os.environ):
                    print(line)  # noqa: T201  # the container's log
            case ["show", name] if name in passwords.NAMES:
                print(passwords.read(places.to / "secrets", name))  # noqa: T201  # it was asked for
            case _:
                sys.exit(_USAGE)
    except Trouble as trouble:
        sys.exit(f"setup: {trouble}")


if __name__ == "__main__":
    main(sys.argv[1:])
