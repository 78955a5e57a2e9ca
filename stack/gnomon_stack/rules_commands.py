"""`gnomon rules`: writes the rules that are made from settings."""

from collections.abc import Callable
from pathlib import Path

import click

from gnomon_exporter.strict_yaml import ConfigError
from gnomon_stack import slo, thresholds
from gnomon_stack.configs import replace_file
from gnomon_stack.home import Home
from gnomon_stack.trouble import Trouble


def _thresholds(root: Path) -> str:
    return thresholds.rules(thresholds.read(root / thresholds.SOURCE))


#: What is made, and how, from the checkout's root.
MADE: dict[Path, Callable[[Path], str]] = {
    thresholds.TARGET: _thresholds,
    slo.TARGET: slo.rules,
}


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if something would change.")
@click.pass_obj
def rules(here: Home, check: bool) -> None:
    """Make the rules that come from settings: thresholds, service level objectives."""
    differs = []
    for target, make in MADE.items():
        try:
            text = make(here.root)
        except ConfigError as error:
            raise Trouble(str(error), code=2) from error
        path = here.root / target
        if path.exists() and path.read_text() == text:
            continue
        differs.append(str(target))
        if not check:
            replace_file(path, text)
            click.echo(f"Wrote {target}.")
    if check and differs:
        raise Trouble(f"{', '.join(differs)}: not what its settings make; run `make rules`")
    if not differs:
        click.echo("The rules are what their settings make.")
