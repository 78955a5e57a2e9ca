"""The command line."""

import argparse
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from gnomon_exporter import __version__
from gnomon_exporter.registry import Entry
from gnomon_exporter.settings import Setting, number, settings_of

#: Marks a flag that was not given, where None or False would be an answer.
UNSET = argparse.SUPPRESS

_DESCRIPTION = """\
Prometheus exporter for one host: node_exporter's metrics under their names, and what Python
services need beside them. Run without arguments it serves http://127.0.0.1:9840/metrics.
"""
_EPILOG = """\
A setting that is given here wins over the same one in the configuration file.
Signals: SIGHUP reads the configuration again, SIGTERM ends the exporter.
"""


def parse(arguments: Sequence[str], collectors: Mapping[str, Entry]) -> argparse.Namespace:
    """Return the parsed command line; exits with 0 for --help and --version, 2 for an error.

    ``collector.NAME`` (bool) and ``collector.NAME.SETTING`` are set only where they were given.
    """
    parser = argparse.ArgumentParser(
        prog="gnomon-exporter",
        usage="gnomon-exporter [check-config] [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["check-config"],
        metavar="check-config",
        help="validate the configuration, print what would run, and exit",
    )
    general = parser.add_argument_group("general")
    general.add_argument("-h", "--help", action="help", help="show this text and exit")
    general.add_argument(
        "--version",
        action="version",
        version=f"gnomon-exporter {__version__}",
        help="show the version",
    )
    general.add_argument(
        "--config.file", metavar="FILE", help="configuration in YAML (default: none is needed)"
    )
    general.add_argument(
        "--log.level",
        choices=["debug", "info", "warn", "error"],
        default="info",
        help="least severe messages to log (default: info)",
    )
    web = parser.add_argument_group("web")
    web.add_argument(
        "--web.listen-address",
        metavar="HOST:PORT",
        default="127.0.0.1:9840",
        help="address to serve on (default: 127.0.0.1:9840)",
    )
    web.add_argument(
        "--web.config.file",
        metavar="FILE",
        help="TLS, client certificates and users, in exporter-toolkit's format",
    )
    web.add_argument(
        "--web.max-requests",
        type=int,
        metavar="N",
        default=40,
        help="scrapes at once, 503 beyond (default: 40)",
    )
    host = parser.add_argument_group("the observed host")
    host.add_argument(
        "--path.rootfs",
        metavar="DIR",
        default="/",
        help="where the host's / is seen; proc and sys are below it unless said (default: /)",
    )
    host.add_argument("--path.procfs", metavar="DIR", default="", help="the host's /proc")
    host.add_argument("--path.sysfs", metavar="DIR", default="", help="the host's /sys")
    group = parser.add_argument_group("collectors")
    group.add_argument(
        "--collector.disable-defaults",
        dest="collector.disable_defaults",
        action="store_true",
        help="turn off every collector that is not asked for",
    )
    for name, entry in collectors.items():
        state = "on" if entry.default else "off"
        group.add_argument(
            f"--collector.{name}",
            action=argparse.BooleanOptionalAction,
            default=UNSET,
            help=f"{summary(entry)} ({state} by default)",
        )
    group = parser.add_argument_group("settings of collectors")
    for name, entry in collectors.items():
        for setting in settings_of(entry.factory).values():
            _add_setting(group, f"--collector.{name}.{setting.flag}", setting)
    namespace, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_unknown(unknown[0], parser))
    return namespace


def _unknown(argument: str, parser: argparse.ArgumentParser) -> str:
    flag = argument.partition("=")[0]
    near = difflib.get_close_matches(flag, parser._option_string_actions, 1)  # noqa: SLF001
    return f"unknown flag: {flag}" + (f" (did you mean {near[0]}?)" if near else "")


def summary(entry: Entry) -> str:
    """Return a collector's subject: the first line of its docstring, without the full stop."""
    return (entry.factory.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")


def _add_setting(group: Any, flag: str, setting: Setting) -> None:
    dest = flag.lstrip("-").replace(setting.flag, setting.name)
    text = setting.meaning.replace("``", "").replace("%", "%%")
    if setting.default not in ("", ()):
        text = f"{text} (default: {_shown(setting.default)})".strip()
    if setting.kind is bool:
        action = argparse.BooleanOptionalAction
        group.add_argument(flag, dest=dest, action=action, default=UNSET, help=text)
    elif setting.kind in (int, float):
        kind = int if setting.kind is int else number
        group.add_argument(flag, dest=dest, type=kind, metavar="N", default=UNSET, help=text)
    elif setting.kind is str:
        group.add_argument(flag, dest=dest, metavar="TEXT", default=UNSET, help=text)
    else:
        text = f"{text} may be given several times".strip()
        group.add_argument(
            flag, dest=dest, action="append", metavar="TEXT", default=UNSET, help=text
        )


def _shown(default: object) -> str:
    text = " ".join(default) if isinstance(default, tuple) else str(default)
    return text.replace("%", "%%")
