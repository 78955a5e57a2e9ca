"""Where the stack's files lie: the checkout and, below it, what a running stack writes."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gnomon_stack.trouble import Trouble

CONF = "supervisord.conf"

# The kernel takes 107 bytes; supervisord binds a temporary name that is longer by its process id.
_LONGEST_SOCKET = 96


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one checkout. All that runs writes stays below ``stack``."""

    root: Path

    @property
    def stack(self) -> Path:
        """Data, logs, programs and the socket of the running stack; git ignores it."""
        return self.root / ".stack"

    @property
    def programs(self) -> Path:
        """The distribution's packages, unpacked and not installed."""
        return self.stack / "programs"

    @property
    def log(self) -> Path:
        """One file for each part, rotated."""
        return self.stack / "log"

    @property
    def lock(self) -> Path:
        """Held as long as a stack runs; says which process holds it."""
        return self.stack / "up.lock"

    @property
    def socket(self) -> Path:
        """Where supervisord listens; elsewhere when the checkout lies too deep for a socket."""
        path = self.stack / "supervisor.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            return path
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"gnomon-{os.getuid()}-{name}", "supervisor.sock")

    @property
    def targets(self) -> Path:
        """The files in which Prometheus discovers targets; git ignores them."""
        return self.root / "prometheus/targets"

    def prepare(self) -> None:
        """Make the folders that a run writes to, readable by this user alone."""
        self.stack.mkdir(mode=0o700, exist_ok=True)
        for folder in (self.log, self.stack / "data"):
            folder.mkdir(exist_ok=True)
        folder = self.socket.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise Trouble(f"{folder} belongs to another user: remove it or move the checkout")


def find(start: Path) -> Home:
    """Return the checkout that ``start`` lies in, else the one that this package runs from.

    Raise Trouble where there is none.
    """
    here = start.absolute()
    for folder in (here, *here.parents, Path(__file__).absolute().parents[2]):
        if (folder / CONF).is_file() and (folder / "prometheus").is_dir():
            return Home(folder)
    raise Trouble(f"{here} is no checkout of Gnomon: there is no {CONF} in it or above it", code=2)
