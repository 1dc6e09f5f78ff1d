"""`tidings key` and `tidings migrate`: what an operator does with PostgreSQL itself, not through the gateway."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from core.errors import ConfigError
from tidings.channel import local_system
from tidings.cli.options import Json
from tidings.cli.output import Exit, Output, guarded
from tidings.errors import InvalidRequest

if TYPE_CHECKING:
    from ledger import Ledger

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys, in PostgreSQL itself.")
Database = Annotated[
    str | None, typer.Option("--database-url", metavar="URL", help="Default: TIDINGS_DATABASE_URL, or that of `tidings up`.")
]


def database_url(given: str | None) -> str:
    """Where PostgreSQL is.

    Raises:
        ConfigError: nobody says so.
    """
    from core.config import load_settings  # noqa: PLC0415 - see with_ledger

    found = given or load_settings(partial=True).database_url or str(local_system().get("database_url", ""))
    if not found:
        raise ConfigError("TIDINGS_DATABASE_URL is not set and no `tidings up` runs in this folder: set it, or --database-url")
    return found


def with_ledger(url: str | None, work: Callable[["Ledger"], Awaitable[T]]) -> T:
    """Run `work` on an open ledger. PostgreSQL's driver is imported here: most commands never need it."""
    from ledger import Ledger  # noqa: PLC0415

    async def run() -> T:
        ledger = await Ledger.open(database_url(url))
        try:
            return await work(ledger)
        finally:
            await ledger.close()

    return asyncio.run(run())


@app.command()
@guarded
def create(
    *,
    name: Annotated[str, typer.Argument(help="Whose key it is: a service's name.")],
    scope: Annotated[list[str], typer.Option(help="send, read or admin; give it once for each.")],
    url: Database = None,
    json: Json = False,
) -> None:
    """Make an API key. It is shown once: only its hash is kept.

    tidings key create order-service --scope send --scope read
    """
    out = Output(json)
    try:
        key = with_ledger(url, lambda ledger: ledger.keys.create(name, scope))
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    out.note(f"The key of {name} ({', '.join(scope)}); it is shown this once:")
    out.show({"name": name, "scopes": scope, "key": key}, lambda: key)


@app.command("list")
@guarded
def list_(*, url: Database = None, json: Json = False) -> None:
    """List all keys (never the keys themselves)."""
    out = Output(json)
    found = with_ledger(url, lambda ledger: ledger.keys.list())
    listed = [
        {
            "id": key.key_id,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "created_at": _moment(key.created_ms),
            "revoked_at": _moment(key.revoked_ms) if key.revoked_ms else None,
        }
        for key in found
    ]

    def render() -> Table:
        table = Table(box=None, pad_edge=False)
        for title in ("id", "name", "scopes", "made", "revoked"):
            table.add_column(title)
        for key in found:
            revoked = f"{_moment(key.revoked_ms):%Y-%m-%d %H:%M}" if key.revoked_ms else ""
            made = f"{_moment(key.created_ms):%Y-%m-%d %H:%M}"
            table.add_row(
                str(key.key_id), key.name, ", ".join(sorted(key.scopes)), made, revoked, style="dim" if revoked else ""
            )
        return table

    out.show(listed, render)


@app.command()
@guarded
def revoke(
    *, key_id: Annotated[int, typer.Argument(metavar="ID", help="As list shows it.")], url: Database = None, json: Json = False
) -> None:
    """End a key's use. The gateways notice within seconds."""
    out = Output(json)
    revoked = with_ledger(url, lambda ledger: ledger.keys.revoke(key_id))
    out.show(
        {"id": key_id, "revoked": revoked},
        lambda: "Revoked." if revoked else f"There is no key {key_id} in use: `tidings key list` shows them.",
    )
    if not revoked:
        raise typer.Exit(Exit.REFUSED)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def migrate(*, url: Database = None, json: Json = False) -> None:
    """Bring the database up to date. Safe to run twice, and while others do the same.

    TIDINGS_DATABASE_URL=postgresql://... tidings migrate
    """
    from ledger.migrate import migrate as migrate_database  # noqa: PLC0415

    out = Output(json)
    asyncio.run(migrate_database(database_url(url)))
    out.show({"migrated": True}, lambda: "The database is up to date.")
