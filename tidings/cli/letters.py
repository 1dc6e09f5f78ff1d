"""`tidings dead`: list, show, replay, drop and export dead letters. The filter's options are one for all of them."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, TypeVar

import orjson
import typer
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from tidings.cli.letter_options import After, All, Before, Channels, Classes, Keys, Limit, Type, chosen, which
from tidings.cli.options import ApiKey, CaFile, Json, Target, connect, words
from tidings.cli.output import Exit, Output, error_fields, exit_code, guarded, stderr
from tidings.cli.timeline import timeline
from tidings.errors import ClientError, NotFound, PermissionDenied
from tidings.template_files import BadFile
from tidings.values import DeadLetter, Notification

T = TypeVar("T")
LISTED = 100  # letters that list shows unless asked for more

app = typer.Typer(no_args_is_help=True, help="Dead letters: what was given up, why, and what to do about it.")

LIST_HELP = words("""List dead letters, oldest first within each channel. Addresses are never shown.

tidings dead list

tidings dead list --channel sms --error-class misconfigured --after 2h --limit 0 --json
""")
SHOW_HELP = words("""Show one dead letter with the timeline of its notification.

tidings dead show KEY
""")
REPLAY_HELP = words("""Send dead letters again, under their old ids and with a fresh allowance of attempts.

tidings dead replay --key KEY

tidings dead replay --channel email --error-class temporary --after 6h --rate 50

tidings dead replay --all

Expiry and template are checked again, and whether it has arrived after all. Ctrl-C leaves the rest where it is: the same
command goes on with it. Exits with 1 if one was not sent again: expired (its time is over), gone (somebody was first),
no_template, unreadable.
""")
DROP_HELP = words("""Delete dead letters for good; their timelines end as cancelled. Asks first, unless --yes.

tidings dead drop --type newsletter --before 7d

tidings dead drop --all --yes
""")
EXPORT_HELP = words("""Write dead letters as JSON lines, to a file or to stdout. They stay where they are.

tidings dead export --channel sms letters.jsonl

tidings dead export | jq -r .reason | sort | uniq -c
""")


@app.command("list", help=LIST_HELP)
@guarded
def list_(
    *,
    channel: Channels = None,
    type_: Type = "",
    error_class: Classes = None,
    after: After = "",
    before: Before = "",
    limit: Limit = LISTED,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """List them; LIST_HELP has the words for people."""
    out = Output(json)
    wanted = which(channel, type_, error_class, after, before)
    with connect(target, api_key, ca_file) as client:
        found = list(client.dead_letters(**wanted | {"limit": limit}))
    out.show(found, lambda: letters_table(found))
    if limit and len(found) == limit:
        out.note(f"[dim]The first {limit}; --limit 0 shows all of them.[/dim]")


def letters_table(found: list[DeadLetter]) -> RenderableType:
    """A row for each letter."""
    if not found:
        return "There are none."
    table = Table(box=None, pad_edge=False)
    table.add_column("key", no_wrap=True)  # to be copied
    for name in ("died", "channel", "type", "what it died of", "attempts"):
        table.add_column(name, overflow="fold")
    for letter in found:
        told = " ".join(filter(None, (letter.error_class, letter.code, letter.reason)))
        cells = (letter.channel or "none", letter.type, told or "unreadable", str(letter.attempts))
        table.add_row(Text(letter.key), f"{letter.died_at:%Y-%m-%d %H:%M:%S}", *map(Text, cells))
    return table


@app.command(help=SHOW_HELP)
@guarded
def show(
    *,
    key: Annotated[str, typer.Argument(metavar="KEY", help="As list shows it.")],
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Show one; SHOW_HELP has the words for people."""
    out = Output(json)
    notification: Notification | None = None
    with connect(target, api_key, ca_file) as client:
        letter = next(iter(client.dead_letters(keys=[key])), None)
        if letter is None:
            raise NotFound("there is no dead letter of this key (any more): `tidings dead list` shows them", code="NOT_FOUND")
        try:
            notification = client.get(letter.notification_id) if letter.notification_id else None
        except (NotFound, PermissionDenied):
            out.note("[dim]Its timeline cannot be read: not in the ledger, or the key lacks the scope read.[/dim]")

    def render() -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name in DeadLetter.__slots__:
            table.add_row(f"[bold]{name}[/bold]", Text(str(getattr(letter, name) or "")))
        return Group(table, "", timeline(notification)) if notification else table

    out.show({"letter": letter, "notification": notification}, render)


@app.command(help=REPLAY_HELP)
@guarded
def replay(
    *,
    key: Keys = None,
    channel: Channels = None,
    type_: Type = "",
    error_class: Classes = None,
    after: After = "",
    before: Before = "",
    limit: Limit = 0,
    everything: All = False,
    rate: Annotated[int, typer.Option(min=1, max=100_000, metavar="PER_SECOND", help="At most so many a second.")] = 100,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Send them again; REPLAY_HELP has the words for people."""
    out = Output(json)
    wanted = chosen(which(channel, type_, error_class, after, before, key), everything=everything)
    with connect(target, api_key, ca_file) as client:
        results = client.replay_dead_letters(per_second=rate, **wanted | {"limit": limit})
        fates = _work(out, results, lambda result: result.fate)
    if fates.keys() - {"replayed", "arrived"} or (key and fates.total() < len(set(key))):
        raise typer.Exit(Exit.FAILED)


@app.command(help=DROP_HELP)
@guarded
def drop(
    *,
    key: Keys = None,
    channel: Channels = None,
    type_: Type = "",
    error_class: Classes = None,
    after: After = "",
    before: Before = "",
    limit: Limit = 0,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Delete them; DROP_HELP has the words for people."""
    out = Output(json)
    wanted = chosen(which(channel, type_, error_class, after, before, key), everything=everything) | {"limit": limit}
    if json and not yes:
        raise BadFile("--json has nobody to ask: give --yes")
    with connect(target, api_key, ca_file) as client:
        if not yes:
            count = _count(out, client.dead_letters(**wanted))
            if not count:
                out.note("No dead letter fits.")
                return
            typer.confirm(f"Delete {count} dead letters for good?", abort=True, err=True)
        fates = _work(out, client.drop_dead_letters(**wanted), lambda result: "dropped" if result.dropped else "gone")
    if key and fates.total() < len(set(key)):
        raise typer.Exit(Exit.FAILED)


@contextmanager
def _progress(out: Output) -> Iterator[Callable[[str], None]]:
    """A line that moves while work goes on; the function sets its words."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=stderr, disable=out.json, transient=True
    ) as progress:
        task = progress.add_task("Waiting for the gateway")
        yield lambda text: progress.update(task, description=text)


def _count(out: Output, letters: Iterable[DeadLetter]) -> int:
    count = 0
    with _progress(out) as say:
        for _ in letters:
            count += 1
            say(f"{count} found")
    return count


def _work(out: Output, results: Iterable[T], fate_of: Callable[[T], str]) -> "Counter[str]":
    """Reads results to their end and tells how many there were of each fate, also when it is cut short.

    Raises:
        ClientError: before the first result.
        Exit: cut short after it, or by Ctrl-C.
    """
    fates: Counter[str] = Counter()
    stopped: ClientError | KeyboardInterrupt | None = None
    with _progress(out) as say:
        try:
            for result in results:
                fates[fate_of(result)] += 1
                say(_told(fates))
        except ClientError as error:
            if not fates:
                raise
            stopped = error
        except KeyboardInterrupt as error:
            stopped = error
    why = error_fields(stopped) if isinstance(stopped, ClientError) else {"kind": "Interrupted"} if stopped else None
    out.show({"fates": fates, "stopped": why}, lambda: _told(fates))
    if stopped is None:
        return fates
    out.note("Stopped; the rest is where it was, and the same command goes on with it.")
    if isinstance(stopped, ClientError):
        out.note(f"[red]Error:[/red] {escape(str(stopped))}")
        raise typer.Exit(exit_code(stopped))
    raise typer.Exit(Exit.INTERRUPTED)


def _told(fates: "Counter[str]") -> str:
    return ", ".join(f"{count} {fate}" for fate, count in fates.items()) or "No dead letter fits."


@app.command(help=EXPORT_HELP)
@guarded
def export(
    *,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Written anew; without it: stdout.")] = None,
    channel: Channels = None,
    type_: Type = "",
    error_class: Classes = None,
    after: After = "",
    before: Before = "",
    limit: Limit = 0,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Write them out; EXPORT_HELP has the words for people."""
    out = Output(json)
    wanted = which(channel, type_, error_class, after, before)
    with connect(target, api_key, ca_file) as client:
        letters = client.dead_letters(**wanted | {"limit": limit})
        if file is None:
            _write(typer.get_binary_stream("stdout"), letters)
            return
        unfinished = file.with_name(f"{file.name}.part")  # what was cut short is not taken for the whole
        try:
            with unfinished.open("wb") as lines:
                count = _write(lines, letters)
            os.replace(unfinished, file)
        except OSError as error:
            raise BadFile(f"{file}: {error.strerror or error}") from error
        finally:
            unfinished.unlink(missing_ok=True)
    out.show({"exported": count, "file": str(file)}, lambda: f"{count} dead letters in {file}")


def _write(lines: IO[bytes], letters: Iterable[DeadLetter]) -> int:
    count = 0
    for letter in letters:
        lines.write(orjson.dumps(letter, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
        count += 1
    lines.flush()
    return count
