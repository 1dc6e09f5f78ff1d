"""`tidings status` and `tidings stations`: what became of a notification, and how the system is doing."""

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from tidings.cli.options import ApiKey, CaFile, Json, Target, connect, words
from tidings.cli.output import Exit, Output, stdout
from tidings.cli.timeline import timeline
from tidings.values import Notification, Stations

T = TypeVar("T")
REFRESH_S = 0.5
SILENT_MS = 3_000  # a process that says nothing for so long counts as gone

STATUS_HELP = words("""Show what became of a notification: each delivery's timeline.

tidings status 018f2f6e-7c7e-7d4b-9f0e-3a5b8f1c2d3e

tidings status 018f2f6e-7c7e-7d4b-9f0e-3a5b8f1c2d3e --watch    (until every delivery has arrived or ended)

Exits with 1 if a delivery failed, was suppressed, expired, was cancelled or is dead.
""")
STATIONS_HELP = words("""Show every stream's depth, lag, pending and waiting, and the processes that read them.

depth: entries in the stream; lag: not read yet; pending: in somebody's hands; waiting: for a later time (retries).
An entry is a frame of one to a few hundred notifications. Needs a key with the scope admin.
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


def stations_table(found: Stations, *, everything: bool) -> RenderableType:
    """Streams that hold something (or all of them), and members."""
    streams = Table(box=None, pad_edge=False)
    for name in ("stream", "read by"):
        streams.add_column(name)
    for name in ("depth", "lag", "pending", "waiting"):
        streams.add_column(name, justify="right")
    shown = [s for s in found.streams if everything or s.depth or s.lag or s.pending or s.waiting]
    for s in shown:
        colour = "red" if s.stream.startswith("dead:") and s.depth else ""
        counts = [str(n) if n else "[dim]0[/dim]" for n in (s.depth, s.lag, s.pending, s.waiting)]
        streams.add_row(s.stream, s.group or "[dim]nobody[/dim]", *counts, style=colour)
    members = Table(box=None, pad_edge=False)
    for name in ("station", "process"):
        members.add_column(name)
    members.add_column("last heard of", justify="right")
    for m in found.members:
        members.add_row(m.station, m.name, f"{m.silent_ms / 1000:.1f} s ago", style="red" if m.silent_ms > SILENT_MS else "")
    empty = len(found.streams) - len(shown)
    parts: list[RenderableType] = [streams] if shown else []
    parts += [f"[dim]{empty} empty streams (--all shows them)[/dim]"] if empty else []
    return Group(*parts, "", members if found.members else "[red]No station is running.[/red]")


def stations(
    *,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Show empty streams too.")] = False,
    watch_: Annotated[bool, typer.Option("--watch", "-w", help="Keep drawing until Ctrl-C.")] = False,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Show the streams and members; STATIONS_HELP has the words for people."""
    out = Output(json)
    with connect(target, api_key, ca_file) as client:
        if watch_ and not json:
            watch(client.stations, lambda found: stations_table(found, everything=everything), lambda _: False)
            return
        found = client.stations()
        out.show(found, lambda: stations_table(found, everything=everything))
