"""All commands of `tidings`, put together."""

import typer

from tidings.cli import letters, operate, sending, stations, status, system, templates
from tidings.cli.output import EPILOG, guarded

app = typer.Typer(
    name="tidings",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would print local variables, keys among them
    rich_markup_mode="rich",
    help="Notifications by e-mail, SMS, push and in-app, with a timeline for each.",
    epilog=EPILOG,
)
app.command(help=system.UP_HELP)(guarded(system.up))
app.command(help=system.DEMO_HELP)(guarded(system.demo))
app.command(help=sending.HELP)(guarded(sending.send))
app.command(help=status.STATUS_HELP)(guarded(status.status))
app.command(help=stations.STATIONS_HELP)(guarded(stations.stations))
app.command(help=stations.HALT_HELP)(guarded(stations.halt))
app.command(help=stations.RESUME_HELP)(guarded(stations.resume))
app.add_typer(letters.app, name="dead")
app.add_typer(templates.app, name="template")
app.add_typer(operate.app, name="key")
app.command()(guarded(operate.migrate))
