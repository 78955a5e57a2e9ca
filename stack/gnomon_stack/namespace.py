"""Gives a program that is merely unpacked its files under /usr/share, and touches no system file.

Debian builds absolute paths into its programs: Alertmanager reads its templates, and Prometheus
its pages, from /usr/share/prometheus. A mount namespace of the process's own lays the unpacked
/usr/share over the real one. The kernel allows that to every user where user namespaces are on
(Debian's default; overlay mounts since Linux 5.11), else to nobody but root.
"""

import functools
import subprocess
from pathlib import Path

# The overlay's path is "." because a colon or a comma in a path would end it in mount's options.
_MOUNT = 'cd "$1" && mount -t overlay overlay -o ro,lowerdir=.:/usr/share /usr/share'
_UNSHARE = ("unshare", "--map-root-user", "--mount", "sh", "-c")


def with_share(share: Path, words: list[str]) -> list[str]:
    """Return the words that run ``words`` with ``share`` laid over /usr/share.

    The program replaces unshare and the shell: it keeps the process id that was started, its
    working directory, and makes files that belong to the user.
    """
    script = f'({_MOUNT}) && shift && exec "$@"'
    return [*_UNSHARE, script, "gnomon", str(share.absolute()), *words]


@functools.cache
def available() -> bool:
    """Whether this user may lay a folder over /usr/share in a namespace of its own."""
    words = [*_UNSHARE, _MOUNT, "gnomon", "/etc"]  # any folder serves as a probe
    try:
        done = subprocess.run(words, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
