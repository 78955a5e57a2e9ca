"""What the demo imports and what `make up` installs for it, which is not what the tests have."""

import os
import subprocess
import sys

# Hides every package that the Makefile's step for the demo would not bring, then opens the desk.
_RUN = """
import asyncio, importlib.abc, importlib.metadata, sys
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

brought = set()

def bring(name, extras):
    for extra in ("", *extras):
        if (name, extra) in brought:
            continue
        brought.add((name, extra))
        for line in importlib.metadata.requires(name) or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                bring(canonicalize_name(wanted.name), tuple(map(canonicalize_name, wanted.extras)))

bring("gnomon", ("exporter", "stack", "demo"))
names = {name for name, _ in brought}
hidden = {
    module
    for module, distributions in importlib.metadata.packages_distributions().items()
    if not names & {canonicalize_name(name) for name in distributions}
    and module not in sys.stdlib_module_names
}

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
    del sys.modules[name]
sys.meta_path.insert(0, Hide())
assert "celery" in hidden  # that it hides anything

import gnomon_demo.exchange
from gnomon_demo import desk

async def open_desk():
    async with desk.app.router.lifespan_context(desk.app):
        print("the desk is open")

asyncio.run(open_desk())
"""


def test_the_desk_opens_with_no_more_than_make_up_installs(environ, tmp_path):
    """An environment for development has everything; a newcomer's has the demo's extra."""
    ran = subprocess.run(
        [sys.executable, "-c", _RUN],
        env={**os.environ, **environ, "GNOMON_DEMO_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "the desk is open" in ran.stdout
