"""`tidings send`: one notification from flags, some from a JSON file, many from a CSV file."""

import json as json_
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidings.cli import rows
from tidings.cli.options import ApiKey, CaFile, Data, Json, Target, connect, parse_data, words
from tidings.cli.output import Exit, Output, error_fields, exit_code, stderr
from tidings.cli.timeline import timeline
from tidings.client import Client
from tidings.errors import ClientError, Conflict, DeliveryEnded
from tidings.messages import NotificationFields
from tidings.template_files import BadFile

CHUNK = 500  # rows in one call: large enough to be fast, small enough that the bar moves
SOURCE = "tidings-cli"
HELP = words("""Send notifications; a reply means that they are stored.

One:    tidings send --template order_confirmation --email ada@example.com -d name=Ada -d order_id=1042 -d total=99.99

Some:   tidings send --json-file notifications.json    (an object, or a list of them, with the fields of tidings.Client.send)

Many:   tidings send --csv customers.csv --template order_confirmation

The CSV file's first line names the columns: recipient_id, email, phone, fcm, apns, language and timezone say to whom,
every other column is a variable of the template (name:number, name:bool, name:json for anything but text). A bad row is
reported with its line number and the rest go on. Sending the same file again sends nothing twice for 24 hours, also
after it was corrected; --run WORD sends it all once more.
""")


def send(
    *,
    template: Annotated[str | None, typer.Option(help="Name of a stored template.")] = None,
    type: Annotated[str | None, typer.Option(help="What happened. Default: the template's name.")] = None,
    recipient: Annotated[str | None, typer.Option(metavar="ID", help="A stored recipient.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    phone: Annotated[str | None, typer.Option(help="Phone number, +4915112345678.")] = None,
    fcm: Annotated[list[str] | None, typer.Option(metavar="TOKEN", help="A device's FCM token.")] = None,
    apns: Annotated[list[str] | None, typer.Option(metavar="TOKEN", help="A device's APNs token.")] = None,
    language: Annotated[str | None, typer.Option(help="Language tag, de-AT.")] = None,
    data: Data = None,
    priority: Annotated[str, typer.Option(help="critical, high, medium or low.")] = "medium",
    notification_class: Annotated[str, typer.Option("--class", help="transactional, promotional or alert.")] = "transactional",
    channel: Annotated[list[str] | None, typer.Option(help="email, sms, push, in_app. Default: the routing rules.")] = None,
    expires_in: Annotated[float | None, typer.Option(metavar="SECONDS", help="Do not send later than this.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key sends once.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is delivered; print the timeline.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Notifications as JSON; - reads stdin.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="One notification for each row.")] = None,
    run: Annotated[str, typer.Option(metavar="WORD", help="With --csv: another word sends the file again.")] = "",
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Send notifications; HELP has the words for people."""
    common: dict[str, Any] = {"priority": priority, "notification_class": notification_class, "source": SOURCE}
    common |= {"channels": channel or [], "data": parse_data(data)}
    if expires_in is not None:
        common["expires_at"] = datetime.now(UTC) + timedelta(seconds=expires_in)
    out = Output(json)
    with connect(target, api_key, ca_file) as client:
        if json_file is not None:
            _send_objects(client, out, read_json(json_file))
            return
        if template is None:
            raise BadFile("--template is missing: name a stored template (`tidings template list` shows them)")
        common |= {"template": template, "type": type or template}
        if csv is not None:
            _send_csv(client, out, csv, common, run)
            return
        whom = {"recipient_id": recipient, "email": email, "phone": phone, "language": language}
        devices = [("fcm", token) for token in fcm or ()] + [("apns", token) for token in apns or ()]
        common["recipient"] = {k: v for k, v in whom.items() if v} | {"devices": devices}
        common |= {"idempotency_key": idempotency_key} if idempotency_key else {}
        _send_one(client, out, cast(NotificationFields, common), wait)


def _send_one(client: Client, out: Output, fields: NotificationFields, wait: bool) -> None:
    result = client.send(**fields)
    if not wait:
        earlier = " [dim](sent earlier, under the same idempotency key)[/dim]" if result.duplicate else ""
        out.show(
            {"notification_id": result.notification_id, "duplicate": result.duplicate},
            lambda: f"{result.notification_id}{earlier}",
        )
        return
    try:
        found, code = client.wait_until(result.notification_id), Exit.OK
    except DeliveryEnded as error:
        found, code = error.notification, Exit.FAILED
    out.show(found, lambda: timeline(found))
    if code:
        raise typer.Exit(code)


def read_json(path: Path) -> list[NotificationFields]:
    """Notifications in a file: an object or a list of objects.

    Raises:
        BadFile: not there, not JSON, or something else than objects.
    """
    try:
        found = json_.loads(typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BadFile(f"{path} is not JSON in UTF-8: {error}") from error
    listed = found if isinstance(found, list) else [found]
    for i, item in enumerate(listed):
        if not isinstance(item, dict):
            raise BadFile(f"{path}: item {i} is no object")
        for name in {"created_at", "expires_at"} & item.keys():
            try:
                item[name] = datetime.fromisoformat(item[name])
            except (TypeError, ValueError) as error:
                raise BadFile(f"{path}: item {i}: {name} is a time such as 2030-01-31T12:00:00Z") from error
    return cast(list[NotificationFields], listed)


def _send_objects(client: Client, out: Output, given: list[NotificationFields]) -> None:
    results = client.send_many(given)
    failed = [(i, r.error) for i, r in enumerate(results) if r.error is not None]
    lines = [r.notification_id if r.ok else f"[red]item {i}:[/red] {escape(str(r.error))}" for i, r in enumerate(results)]
    out.show(results, lambda: "\n".join(lines))
    if failed:
        raise typer.Exit(Exit.FAILED)


@dataclass
class Tally:
    """What became of a file's rows so far."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    stopped: ClientError | None = None  # tidings went away in the middle

    def add(self, line: int, outcome: "Outcome") -> None:
        """Count one row."""
        if isinstance(outcome, dict):
            self.accepted.append({"line": line, **outcome})
        else:
            self.failed.append({"line": line, "error": error_fields(outcome)})

    def summary(self) -> dict[str, Any]:
        """For a program."""
        again = sum(item["duplicate"] for item in self.accepted)
        counts = {"accepted": len(self.accepted) - again, "sent_earlier": again}
        stopped = error_fields(self.stopped) if self.stopped else None
        return {**counts, "failed": self.failed, "stopped": stopped, "notifications": self.accepted}

    def told(self) -> str:
        """For a person."""
        again = sum(item["duplicate"] for item in self.accepted)
        text = f"{len(self.accepted) - again} accepted, {again} sent earlier, {len(self.failed)} failed"
        advice = "\n[red]Stopped:[/red] {}\nRun the same command again: what was accepted is not sent twice."
        return text + (advice.format(escape(str(self.stopped))) if self.stopped else "")


def _send_csv(client: Client, out: Output, path: Path, common: dict[str, Any], run: str) -> None:
    try:
        with path.open("rb") as file:
            total = max(sum(1 for _ in file) - 1, 0)
        lines = path.open(encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error
    tally = Tally()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with lines, Progress(*columns, console=stderr, disable=out.json) as progress:
        task = progress.add_task(path.name, total=total)
        try:
            for line, outcome in _outcomes(client, rows.rows(lines, common, run)):
                tally.add(line, outcome)
                progress.update(task, completed=line - 1)
                if not isinstance(outcome, dict):
                    out.note(f"[red]line {line}:[/red] {_told(outcome)}")
            progress.update(task, completed=total)
        except ClientError as error:
            tally.stopped = error
    out.show(tally.summary(), tally.told)
    if tally.stopped:
        raise typer.Exit(exit_code(tally.stopped))
    if tally.failed:
        raise typer.Exit(Exit.FAILED)


Outcome: TypeAlias = dict[str, Any] | ClientError | BadFile


def _outcomes(client: Client, given: Iterator[rows.Row]) -> Iterator[tuple[int, Outcome]]:
    """(line, what was accepted or why not) for each row, in order."""
    while chunk := list(islice(given, CHUNK)):
        results = iter(client.send_many(row.fields for row in chunk if row.fields is not None))
        for row in chunk:
            if row.fields is None:
                yield row.line, BadFile(row.fault)
                continue
            result = next(results)
            accepted = {"notification_id": result.notification_id, "duplicate": result.duplicate}
            yield row.line, result.error if result.error is not None else accepted


def _told(error: ClientError | BadFile) -> str:
    if isinstance(error, Conflict):
        return "this row was sent earlier with another version of the template; --run WORD sends it again"
    return escape(str(error))
