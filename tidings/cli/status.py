"""`tidings status`: what became of a notification."""

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from rich.console import RenderableType
from rich.live import Live

from tidings.cli.options import ApiKey, CaFile, Json, Target, connect, words
from tidings.cli.output import Exit, Output, stdout
from tidings.cli.timeline import timeline
from tidings.values import Notification

T = TypeVar("T")
REFRESH_S = 0.5

STATUS_HELP = words("""Show what became of a notification: each delivery's timeline.

tidings status 018f2f6e-7c7e-7d4b-9f0e-3a5b8f1c2d3e

tidings status 018f2f6e-7c7e-7d4b-9f0e-3a5b8f1c2d3e --watch    (until every delivery has arrived or ended)

Exits with 1 if a delivery failed, was suppressed, expired, was cancelled or is dead.
""")


def settled(found: Notification) -> bool:
    """Whether nothing more is to be expected soon: every delivery arrived or ended."""
    return bool(found.deliveries) and all(d.ended or d.reached("delivered") for d in found.deliveries)


def watch(ask: Callable[[], T], render: Callable[[T], RenderableType], done: Callable[[T], bool]) -> T:
    """Ask and draw again and again, until it is done or interrupted."""
    found = ask()
    with Live(render(found), console=stdout, auto_refresh=False) as live:
        while not done(found):
            try:
                time.sleep(REFRESH_S)
                found = ask()
            except KeyboardInterrupt:
                break
            live.update(render(found), refresh=True)
    return found


def status(
    *,
    notification_id: Annotated[str, typer.Argument(metavar="ID", help="As send printed it.")],
    watch_: Annotated[bool, typer.Option("--watch", "-w", help="Keep drawing until it is settled.")] = False,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Show a notification; STATUS_HELP has the words for people."""
    out = Output(json)
    with connect(target, api_key, ca_file) as client:
        if watch_ and not json:
            found = watch(lambda: client.get(notification_id), timeline, settled)
        else:
            found = client.get(notification_id)
            while watch_ and not settled(found):
                time.sleep(REFRESH_S)
                found = client.get(notification_id)
            out.show(found, lambda: timeline(found))
    if any(delivery.ended for delivery in found.deliveries):
        raise typer.Exit(Exit.FAILED)
