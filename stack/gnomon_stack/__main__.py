"""The `gnomon` command: runs the stack on this machine and says what it shall scrape."""

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from gnomon.databases.commands import queries
from gnomon.usage.commands import usage
from gnomon_stack import home
from gnomon_stack.alerting.commands import alert_config, test_notification
from gnomon_stack.dashboards_commands import dashboards
from gnomon_stack.demo import demo_alert as run_demo
from gnomon_stack.demo_commands import demo
from gnomon_stack.rules_commands import rules
from gnomon_stack.target_commands import target
from gnomon_stack.trouble import Trouble
from gnomon_stack.up import down as stop_stack
from gnomon_stack.up import up as run_stack

# Where nobody looks (a file, a pipe, a journal), nothing is cut to a width.
_WIDTH_OF_FILES = 200

# Commands that need no checkout.
_ANYWHERE = ("queries", "usage")


def _console() -> Console:
    return Console(
        highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_FILES, soft_wrap=False
    )


class _Commands(click.Group):
    """Turns trouble into its line on stderr and its exit status."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except Trouble as trouble:
            for line in str(trouble).splitlines():
                click.echo(f"gnomon: {line}", err=True)
            ctx.exit(trouble.code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run the Gnomon stack on this machine, without Docker."""
    if ctx.invoked_subcommand not in _ANYWHERE:
        ctx.obj = home.find(Path.cwd())


@main.command()
@click.pass_obj
def up(here: home.Home) -> None:
    """Run everything in the foreground until Ctrl-C.

    GNOMON_EXPORTER_PORT, GNOMON_PROMETHEUS_PORT and GNOMON_ALERTMANAGER_PORT move the ports;
    GNOMON_PROMETHEUS_SIZE caps what Prometheus keeps (5GB). GNOMON_DEMO=off leaves the demo out,
    which GNOMON_DEMO_PORT and GNOMON_EXCHANGE_PORT move; GNOMON_CONSOLE=off and
    GNOMON_CONSOLE_PORT do so with the console, which GNOMON_CONSOLE_HOST and
    GNOMON_CONSOLE_WEB_CONFIG (users, TLS) show to other machines.
    """
    sys.exit(run_stack(here, os.environ, _console()))


@main.command()
@click.pass_obj
def down(here: home.Home) -> None:
    """Stop the stack that runs in this checkout, and wait for its end."""
    sys.exit(stop_stack(here, _console()))


@main.command(name="demo-alert")
@click.pass_obj
def demo_alert(here: home.Home) -> None:
    """Show one alert's whole way, from a metric of this host to a receiver.

    Needs the stack to run, and about a minute and a half.
    """
    run_demo(here, click.echo)


main.add_command(alert_config)
main.add_command(dashboards)
main.add_command(demo)
main.add_command(queries)
main.add_command(rules)
main.add_command(target)
main.add_command(test_notification)
main.add_command(usage)


if __name__ == "__main__":
    main()
