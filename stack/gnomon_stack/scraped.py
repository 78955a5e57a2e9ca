"""Files that let Prometheus find parts of the stack for as long as they run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gnomon_stack.configs import replace_file
from gnomon_stack.home import Home
from gnomon_stack.parts import HOST, Part


@contextmanager
def targets(
    home: Home,
    services: Mapping[str, Part],
    wanted: Mapping[Part, int],
    say: Callable[[str], None],
    *,
    note: str,
) -> Iterator[None]:
    """Let Prometheus find those of some services that run, as long as the block does.

    services: their parts by the name of the service. note: the comment that a file begins with, by
    which it is known again. A file of the user's own under the same name stays as it is.
    """
    _forget(home, services, note)  # one that was killed has left its own
    for service, part in services.items():
        path = home.targets / f"{service}.yml"
        if part not in wanted:
            continue
        if path.exists():
            say(f"{path} is yours, so Prometheus does not scrape {part.name} as {service}.")
            continue
        group = f'- targets: ["{HOST}:{wanted[part]}"]\n  labels:\n    service: {service}\n'
        replace_file(path, note + group)
    try:
        yield
    finally:
        _forget(home, services, note)


def _forget(home: Home, services: Mapping[str, Part], note: str) -> None:
    """Remove the files that an earlier `targets` made."""
    for service in services:
        path = home.targets / f"{service}.yml"
        if path.is_file() and path.read_text(errors="replace").startswith(note):
            path.unlink()
