"""`gnomon dashboards`: writes the files that Grafana and the console show."""

import click

from gnomon_stack.configs import replace_file
from gnomon_stack.home import Home
from gnomon_stack.trouble import Trouble


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if something would change.")
@click.pass_obj
def dashboards(here: Home, check: bool) -> None:
    """Make the dashboards from their builders and from prometheus/thresholds.yml."""
    from gnomon_dashboards import catalogue  # noqa: PLC0415  # all of it, for this command alone

    wanted = {
        here.root / catalogue.path(subject): catalogue.dashboard(subject).text()
        for subject in catalogue.SUBJECTS
    }
    stale = sorted(set((here.root / catalogue.FOLDER).glob("*.json")) - set(wanted))
    differs = [
        path for path, text in wanted.items() if not path.exists() or path.read_text() != text
    ] + stale
    names = ", ".join(str(path.relative_to(here.root)) for path in differs)
    if check and differs:
        raise Trouble(f"{names}: not what the builders make; run `make dashboards`")
    for path in differs:
        if path in wanted:
            replace_file(path, wanted[path])
        else:
            path.unlink()
    click.echo(f"Made {names}." if differs else "The dashboards are what their builders make.")
