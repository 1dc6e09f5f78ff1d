"""`tidings stations`, `halt` and `resume`: how the system is doing, and a channel that an operator stops."""

from typing import Annotated, cast

import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tidings.cli.options import ApiKey, CaFile, Json, Target, connect, words
from tidings.cli.output import Output
from tidings.cli.status import watch
from tidings.messages import ChannelName
from tidings.values import Provider, Stations, Stream

SILENT_MS = 3_000  # a process that says nothing for so long counts as gone
BREAKERS = {"closed": "green", "half_open": "yellow", "open": "red"}
OVERLOAD = {
    "shed_low": "low priority is suppressed",
    "shed_medium": "low and medium priority are suppressed",
    "refuse": "all but critical is refused",
}

STATIONS_HELP = words("""Show every stream's depth, lag, pending and waiting, the processes that read them, how providers fare.

tidings stations

tidings stations --watch

depth: entries in the stream; lag: not read yet; pending: in somebody's hands; waiting: for a later time (retries).
An entry is a frame of one to a few hundred notifications. Halted channels and overload stand first, when there is any.
Needs a key with the scope admin.
""")
HALT_HELP = words("""Stop a channel's sending. What is sent to it waits in its queue and costs no attempt.

tidings halt sms --reason "wrong price list, ask Grete"

tidings resume sms
""")
RESUME_HELP = words("""Let a halted channel send again: its backlog goes first, critical ones before all others.

tidings resume sms
""")

ChannelArgument = Annotated[str, typer.Argument(metavar="CHANNEL", help="email, sms, push or in_app.")]


def stations_table(found: Stations, *, everything: bool) -> RenderableType:
    """What is wrong first; then streams that hold something (or all of them), members and providers."""
    shown = [s for s in found.streams if everything or s.depth or s.lag or s.pending or s.waiting]
    parts: list[RenderableType] = list(warnings(found))
    parts += [""] if parts else []
    parts += [_streams(found, shown)] if shown else []
    empty = len(found.streams) - len(shown)
    parts += [f"[dim]{empty} empty streams (--all shows them)[/dim]"] if empty else []
    parts += ["", _members(found) if found.members else "[red]No station is running.[/red]"]
    parts += ["", _providers(found)] if found.providers else []
    return Group(*parts)


def warnings(found: Stations) -> list[str]:
    """A line of markup for each halted channel, and one for overload."""
    lines = [
        f"[red]{halt.channel} is halted[/red] since {halt.since:%Y-%m-%d %H:%M:%S} UTC: {escape(halt.reason)}  "
        f"[dim]`tidings resume {halt.channel}` lets it go on[/dim]"
        for halt in found.halts
    ]
    if found.overload != "normal":
        what = OVERLOAD.get(found.overload, "see docs/operations.md")
        lines.append(f"[red]overload: {found.overload}[/red], pressure {found.pressure:.0%}: {what}")
    return lines


def _streams(found: Stations, shown: list[Stream]) -> Table:
    halted = {halt.channel for halt in found.halts}
    table = Table(box=None, pad_edge=False)
    for name in ("stream", "read by"):
        table.add_column(name)
    for name in ("depth", "lag", "pending", "waiting"):
        table.add_column(name, justify="right")
    for s in shown:
        parts = s.stream.split(":")
        stands = parts[0] == "out" and parts[1] in halted
        counts = [str(n) if n else "[dim]0[/dim]" for n in (s.depth, s.lag, s.pending, s.waiting)]
        reader = "[red]halted[/red]" if stands else s.group or "[dim]nobody[/dim]"
        table.add_row(s.stream, reader, *counts, style="red" if parts[0] == "dead" and s.depth else "")
    return table


def _members(found: Stations) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("station", "process"):
        table.add_column(name)
    table.add_column("last heard of", justify="right")
    for m in found.members:
        table.add_row(m.station, m.name, f"{m.silent_ms / 1000:.1f} s ago", style="red" if m.silent_ms > SILENT_MS else "")
    return table


def _providers(found: Stations) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("channel", "provider", "seen by", "breaker"):
        table.add_column(name)
    for name in ("share", "failures", "limit"):
        table.add_column(name, justify="right")
    for p in found.providers:
        breaker = Text(p.breaker.replace("_", " "), BREAKERS.get(p.breaker, ""))
        failures = Text(f"{p.failures:.0%}", "red" if p.failures else "dim")
        table.add_row(p.channel, p.provider, p.member, breaker, f"{p.share:.0%}", failures, _limit(p))
    return table


def _limit(provider: Provider) -> str:
    return f"{provider.per_second:g}/s" if provider.per_second else "[dim]none[/dim]"


def stations(
    *,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Show empty streams too.")] = False,
    watch_: Annotated[bool, typer.Option("--watch", "-w", help="Keep drawing until Ctrl-C.")] = False,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Show the state of the system; STATIONS_HELP has the words for people."""
    out = Output(json)
    with connect(target, api_key, ca_file) as client:
        if watch_ and not json:
            watch(client.stations, lambda found: stations_table(found, everything=everything), lambda _: False)
            return
        found = client.stations()
        out.show(found, lambda: stations_table(found, everything=everything))


def halt(
    *,
    channel: ChannelArgument,
    reason: Annotated[str, typer.Option(help="Why, for the next operator.")],
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Halt a channel; HALT_HELP has the words for people."""
    out = Output(json)
    with connect(target, api_key, ca_file) as client:
        changed = client.halt_channel(cast(ChannelName, channel), reason)
    told = f"{channel} stands still. `tidings resume {channel}` lets it go on."
    before = f"{channel} was halted already; its reason stays. `tidings stations` shows it."
    out.show({"channel": channel, "changed": changed}, lambda: told if changed else before)


def resume(
    *,
    channel: ChannelArgument,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Let a channel go on; RESUME_HELP has the words for people."""
    out = Output(json)
    with connect(target, api_key, ca_file) as client:
        changed = client.resume_channel(cast(ChannelName, channel))
    out.show(
        {"channel": channel, "changed": changed}, lambda: f"{channel} goes on." if changed else f"{channel} was not halted."
    )
