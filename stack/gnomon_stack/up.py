"""`gnomon up`: prepares the stack, runs it in the foreground, ends with nothing left running."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from gnomon_stack import console as console_part
from gnomon_stack import (
    desk,
    exporter_yml,
    lock,
    namespace,
    packages,
    ports,
    programs,
    ready,
    table,
    templates,
)
from gnomon_stack.alerting import apply as alerting
from gnomon_stack.configs import with_ports
from gnomon_stack.home import Home
from gnomon_stack.parts import ALERTMANAGER, CONSOLE, EXPORTER, PARTS, PROMETHEUS, Part, url
from gnomon_stack.parts import ports as ports_of
from gnomon_stack.supervise import Supervisor, lead
from gnomon_stack.trouble import Trouble

# What Prometheus may take of the disk before it drops its oldest data.
_SIZE_VARIABLE, _SIZE = "GNOMON_PROMETHEUS_SIZE", "5GB"

# How long the table waits for a part before it says where to look.
_SLOW_S = 30.0

_STARTING = "starting"


def up(home: Home, environ: Mapping[str, str], console: Console) -> int:
    """Run the stack until it is asked to stop; return the exit status.

    Raise Trouble where the stack cannot start.
    """
    wanted = ports_of(environ)
    without_demo = desk.left_out(environ, wanted)
    if without_demo:
        wanted = {part: port for part, port in wanted.items() if part not in desk.PARTS}
    without_console = console_part.left_out(environ)
    if without_console:
        del wanted[CONSOLE]
    away = console_part.away(environ, wanted)
    home.prepare()
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(home.lock, {p.name: n for p, n in wanted.items()}))
        except BlockingIOError:
            return _already(home, console)
        say = _teller(console)
        if without_demo:
            say(f"The demo is left out: {without_demo}")
        if without_console:
            say(f"The console is left out: {without_console}")
        if away:
            say(
                f"The console answers at {away} and not at 127.0.0.1 in plain HTTP: Prometheus "
                "does not scrape it, and the demo sends it no traces."
            )
        _refuse_taken(wanted)
        found = _programs(home, say)
        for name, why in _left_out(home, found, say).items():
            say(f"{name} is left out: {why}")
            del found[name]
        exporter_yml.write(home.root, say)
        _refuse_bad_configuration(home)
        alerts = alerting.prepare(home, environ, _words(home, found, "alertmanager"), say)
        active = {
            part: port
            for part, port in wanted.items()
            if part in {EXPORTER, *desk.PARTS}
            or part.name in found
            or (part is CONSOLE and not away)
        }
        stack.enter_context(desk.targets(home, wanted, say))
        stack.enter_context(console_part.targets(home, {} if away else wanted, say))
        # Receivers' secrets may stand in variables, which are no business of any part.
        theirs = {k: v for k, v in environ.items() if not k.startswith(alerting.PREFIX)}
        supervisor = stack.enter_context(
            Supervisor(home, {**theirs, **_answers(home, environ, wanted, found, alerts)}, say)
        )
        _show_start(active, supervisor, console)
        status = supervisor.wait()
        if supervisor.stopping:
            console.print("Stopped: nothing runs any more.")
            return 0
        raise Trouble(
            f"the supervisor ended by itself with status {status} and took all parts with it: "
            f"see {home.log}/supervisord.log"
        )


def down(home: Home, console: Console) -> int:
    """Stop the running stack and wait for its end; return the exit status."""
    found = lock.running(home.lock)
    if found is None:
        console.print("No stack runs here.")
        return 0
    if not lock.stop(home.lock, patience_s=60):
        raise Trouble(f"the stack (pid {found.pid}) did not end: see {home.log}/supervisord.log")
    console.print("Stopped: nothing runs any more.")
    return 0


def _already(home: Home, console: Console) -> int:
    """Say that a stack runs here, and where it answers."""
    found = lock.running(home.lock)
    if found is None:  # it has ended between two looks
        raise Trouble("another stack was just ending here: try again")
    console.print(f"The stack runs already (pid {found.pid}); `make down` stops it.", markup=False)
    active = {part: found.ports[part.name] for part in PARTS if part.name in found.ports}
    states = {p: "ready" if ready.answers(p, n) else "does not answer" for p, n in active.items()}
    console.print(table.addresses(active, states))
    return 0


def _programs(home: Home, say: Callable[[str], None]) -> dict[str, str]:
    """Return the programs' paths by name.

    What neither PATH nor an earlier run has is fetched. Raise Trouble where Prometheus is missing.
    """
    wanted = list(packages.DEBIAN)
    found = {name: programs.find(name, home.programs) for name in wanted}
    lacking = [name for name in wanted if found[name] is None]
    if lacking:
        say(
            f"Not on PATH: {', '.join(lacking)}. Fetching the distribution's packages and unpacking"
            f" them under {home.programs.relative_to(home.root)}; nothing is installed."
        )
        packages.fetch(lacking, home.programs, home.stack / "fetching")
        found = {name: programs.find(name, home.programs) for name in wanted}
    paths = {name: path for name, path in found.items() if path}
    if "prometheus" not in paths:
        raise Trouble("the fetched package has no program called prometheus")
    return paths


def _left_out(home: Home, paths: dict[str, str], say: Callable[[str], None]) -> dict[str, str]:
    """Return why a part cannot run although its program is here, by the part's name."""
    bare = [
        name
        for name, path in paths.items()
        if programs.is_unpacked(path, home.programs) and not namespace.available()
    ]
    if "prometheus" in bare:
        say(
            "This system grants no user namespaces: Prometheus' own pages stay empty. Its API, "
            "rules and alerts work; installed from its package, the pages would too."
        )
    if "alertmanager" not in bare or templates.in_place(home.programs):
        return {}
    if templates.install(home.programs, say):
        return {}
    command = shlex.join(["sudo", *templates.install_words(home.programs)])
    return {"alertmanager": f"needs two files that only root can put in place: {command}"}


def _refuse_taken(wanted: dict[Part, int]) -> None:
    """Raise Trouble with a line for each port that somebody listens on."""
    lines = []
    for part, port in wanted.items():
        if not ports.is_free(port):
            who = ports.holder(port)
            lines.append(
                f"port {port} for {part.name} is in use by {who}: "
                f"end it, or choose another with {part.variable}=PORT"
            )
    if lines:
        raise Trouble("\n".join(lines))


def _refuse_bad_configuration(home: Home) -> None:
    """Raise Trouble with what the exporter says of its configuration, before it is started."""
    if not (home.root / exporter_yml.NAME).exists():
        return
    checked = subprocess.run(
        [_exporter(), "check-config", "--config.file", exporter_yml.NAME],
        cwd=home.root,
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        raise Trouble(checked.stderr.strip().removeprefix("gnomon-exporter: "), code=2)


def _exporter() -> str:
    return str(Path(sys.executable).with_name("gnomon-exporter"))


def _words(
    home: Home, found: dict[str, str], name: str, before: tuple[str, ...] = ()
) -> list[str] | None:
    """Return the words that start a part, where it has been found."""
    path = found.get(name)
    return programs.command(path, home.programs, lead=before) if path else None


def _answers(
    home: Home,
    environ: Mapping[str, str],
    wanted: dict[Part, int],
    found: dict[str, str],
    alerts: alerting.Prepared,
) -> dict[str, str]:
    """Return the values that supervisord.conf asks for."""
    dying = lead("TERM")
    exporter = [*dying, _exporter()]
    if (home.root / exporter_yml.NAME).exists():
        exporter += ["--config.file", exporter_yml.NAME]

    def words(name: str, before: tuple[str, ...] = ()) -> str:
        return shlex.join(_words(home, found, name, (*before, *dying)) or [name])

    def config(path: str) -> str:
        return shlex.quote(str(with_ports(home.root / path, wanted)))

    def outside(part: Part) -> str:
        return shlex.quote(alerts.urls.get(part) or f"{url(wanted[part])}/")

    return {
        **{part.variable: str(port) for part, port in wanted.items()},
        "GNOMON_SOCKET": str(home.socket),
        "GNOMON_EXPORTER": shlex.join(exporter),
        "GNOMON_PROMETHEUS": words("prometheus"),
        "GNOMON_PROMETHEUS_CONFIG": config("prometheus/prometheus.yml"),
        _SIZE_VARIABLE: environ.get(_SIZE_VARIABLE) or _SIZE,
        "GNOMON_PROMETHEUS_URL": outside(PROMETHEUS),
        "GNOMON_ALERTMANAGER": words("alertmanager", alerts.lead),
        "GNOMON_ALERTMANAGER_CONFIG": shlex.quote(str(alerts.config)),
        "GNOMON_ALERTMANAGER_URL": outside(ALERTMANAGER),
        "GNOMON_ALERTMANAGER_FLAGS": shlex.join(alerts.flags),
        "GNOMON_ALERTMANAGER_STARTS": "true" if "alertmanager" in found else "false",
        **desk.answers(wanted, dying),
        **console_part.answers(home, environ, wanted, dying),
    }


def _show_start(active: dict[Part, int], supervisor: Supervisor, console: Console) -> None:
    """Show the addresses as they begin to answer, until the first sample is there."""
    states = dict.fromkeys(active, _STARTING)
    answers = ready.watch(active, lambda: supervisor.runs)
    sampled = None
    with _shown(table.addresses(active, states), console) as show:
        for answer in answers:
            if answer is None and supervisor.age_s <= _SLOW_S:
                continue
            if answer is None:
                for part in [part for part, state in states.items() if state == _STARTING]:
                    states[part] = f"silent for {_SLOW_S:.0f} s: see .stack/log/{part.name}.log"
            elif answer.part is None:
                sampled = answer
            else:
                states[answer.part] = f"ready after {answer.after_s:.1f} s"
            show(table.addresses(active, states))
            if _STARTING not in states.values():
                break
    if not supervisor.runs:
        return
    say = _teller(console)
    say("Ctrl-C or `make down` stops all of it. Logs and data: .stack/")
    for answer in chain([sampled], answers):
        if answer and answer.part:
            say(f"{answer.part.name} is ready after {answer.after_s:.1f} s.")
        elif answer:
            say(f"First sample of this host in Prometheus after {answer.after_s:.1f} s.")


@contextmanager
def _shown(first: Table, console: Console) -> Iterator[Callable[[Table], None]]:
    """Yield a function that shows a table in place of the one before.

    Where nothing can be overwritten (a file, a pipe) only the last one is printed.
    """
    if console.is_terminal:
        with Live(first, console=console, auto_refresh=False) as live:
            yield lambda shown: live.update(shown, refresh=True)
        return
    last = [first]
    yield lambda shown: last.__setitem__(0, shown)
    console.print(last[0])


def _teller(console: Console) -> Callable[[str], None]:
    """Return a function that prints a line as it is: no markup, no line breaks of its own."""
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)
