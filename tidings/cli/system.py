"""`tidings up` and `tidings demo`: the whole system on this machine."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tidings.cli.options import DataFolder, Json, words
from tidings.cli.output import Exit, Output, print_json, stderr, stdout

if TYPE_CHECKING:
    from tidings.up.supervisor import System

FOLDER = Path(".tidings")
UP_HELP = words("""Run the whole system on this machine until Ctrl-C: Valkey, PostgreSQL, every station, the provider sandbox.

Nothing needs to be installed. Everything is kept in the data folder, logs included; the next start finds it again.
TIDINGS_REDIS_URL and TIDINGS_DATABASE_URL take servers of yours in place of the embedded ones, and --no-sandbox speaks to
the real providers as the TIDINGS_* settings say. A station that dies is started again.

Ctrl-C drains and stops in order; a second one kills.
""")
DEMO_HELP = words("""Start everything, send one notification per provider through the gateway, show what became of each, stop.

Exits with 0 if all six (SendGrid, SMTP, Twilio, FCM, APNs, in-app) were delivered. Runs beside `tidings up`; the second
run is faster than the first, as its data folder is kept.
""")


def up(
    *,
    data: DataFolder = FOLDER,
    sandbox: Annotated[bool, typer.Option(help="Simulate the providers, or speak to the real ones.")] = True,
    any_ports: Annotated[bool, typer.Option("--any-ports", help="Take free ports, not the usual ones.")] = False,
    json: Json = False,
) -> None:
    """Run until a signal; UP_HELP has the words for people."""
    from tidings.up.processes import StartFailed  # noqa: PLC0415 - the supervisor is large, the other commands are quick
    from tidings.up.run import run_until_signal, running  # noqa: PLC0415

    async def stay() -> None:
        say = Output(json).note
        say(f"tidings is starting in {data.absolute()}")
        async with running(data, say, fixed_ports=not any_ports, sandbox=sandbox) as (system, supervisor):
            if json:
                print_json({"event": "up", "processes": supervisor.pids, **_addresses(system)})
            else:
                stdout.print(summary(system, data), soft_wrap=True)
            try:
                await asyncio.Event().wait()
            finally:
                say("\nDraining and stopping ...")

    try:
        run_until_signal(stay())
        Output(json).note("Stopped.")
    except StartFailed as error:
        stderr.print(f"[red]tidings did not start:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(Exit.FAILED) from error


def _addresses(system: "System") -> dict[str, object]:
    ports = system.ports
    return {"target": ports.target, "api_key": system.api_key, "web": ports.web_url, "sandbox": ports.sandbox_url}


def summary(system: "System", data: Path) -> str:
    """Where everything is, in markup; lines are not folded, so that each can be copied whole."""
    ports = system.ports
    told = [
        ("gateway (gRPC)", ports.target),
        ("web", f"{ports.web_url} [dim]webhooks, receipts[/dim]"),
        ("sandbox", f"{ports.sandbox_url} [dim]what the providers got[/dim]" if system.sandbox else "none: real providers"),
        *(("metrics", f"{ports.metrics_url(name)} [dim]{name}[/dim]") for name in ports.metrics),
        ("API key", f"{system.api_key} [dim]for development: send, read, admin[/dim]"),
        ("data and logs", f"{data}, {data}/logs"),
    ]
    names = ["" if i and told[i - 1][0] == name else name for i, (name, _) in enumerate(told)]
    lines = [f"  [bold]{name:<16}[/bold]{value}" for name, (_, value) in zip(names, told, strict=True)]
    begin = "[green]tidings is up.[/green] In this folder clients find it by themselves: tidings stations"
    return "\n".join(["", begin, "", *lines, "", "Ctrl-C drains and stops."])


def demo(*, data: DataFolder = FOLDER / "demo", json: Json = False) -> None:
    """Run the demo; DEMO_HELP has the words for people."""
    from tidings.demo import demonstrate  # noqa: PLC0415

    raise typer.Exit(demonstrate(data, json=json))
