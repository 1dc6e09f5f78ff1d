"""`tidings demo`: the whole system in a folder, one notification per provider, each timeline as a table.

It calls the gateway as any client would. What is shown is what the ledger says, and it fails when that is not "delivered".
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from rich.markup import escape
from rich.rule import Rule

from core.config import load_settings
from core.errors import TidingsError
from core.settings import Settings
from tidings import template_files
from tidings.aio import AsyncClient
from tidings.cli.output import Exit, exit_code, print_json, stderr, stdout
from tidings.cli.timeline import timeline
from tidings.errors import ClientError, DeliveryEnded
from tidings.messages import NotificationFields, RecipientFields
from tidings.up.processes import StartFailed
from tidings.up.run import run_until_signal, running
from tidings.values import Notification

EXAMPLES = Path(__file__).parent / "examples"
TEMPLATES = ("order_confirmation", "invoice", "login_code")
DELIVERY_S = 30.0
INBOX_OF = "demo-grete"


@dataclass(frozen=True, slots=True)
class Step:
    """One notification of the demo and what is expected of it."""

    provider: str
    title: str
    fields: NotificationFields


@dataclass(slots=True)
class Outcome:
    """What came of a step."""

    step: Step
    found: Notification | None = None
    problem: str = ""


def steps() -> list[Step]:
    """One for each provider, in five languages."""
    order = {"name": "Grete", "order_id": "A-1042", "total": 99.99, "items": [{"count": 1, "title": "Compiler <3rd ed.>"}]}
    due = f"{datetime.now(UTC) + timedelta(days=14):%Y-%m-%d}"

    def push(platform: Any, token: str, language: str) -> NotificationFields:
        recipient: RecipientFields = {"devices": [(platform, token)], "language": language}
        return _fields("order_confirmation", recipient, data=order, channels=["push"])

    ada: RecipientFields = {"email": "ada@example.com", "language": "de-AT"}
    emilie: RecipientFields = {"email": "emilie@example.com", "language": "fr"}
    rosa: RecipientFields = {"phone": "+34612345678", "language": "es"}
    return [
        Step("sendgrid", "E-mail by SendGrid", _fields("order_confirmation", ada, data=order, channels=["email"])),
        Step(
            "smtp",
            "E-mail by SMTP",
            _fields("invoice", emilie, data={"name": "Émilie", "number": "F-7", "total": 40, "due": due}, channels=["email"]),
        ),
        Step("twilio", "SMS by Twilio", _fields("login_code", rosa, data={"code": "274 911"}, priority="critical")),
        Step("fcm", "Push by FCM", push("fcm", "demo-device:APA91bFtidings-demo-registration-token", "fr")),
        Step("apns", "Push by APNs", push("apns", "740f4707bebcf74f9b7c25d48e3358945f6aa01da5ddb387462c7eaf61bb78ad", "en")),
        Step("in_app", "In-app message", _fields("order_confirmation", INBOX_OF, data=order, channels=["in_app"])),
    ]


def _fields(template: str, recipient: str | RecipientFields, **more: Any) -> NotificationFields:
    made = {"type": template, "template": template, "recipient": recipient, "source": "tidings-demo", **more}
    return cast(NotificationFields, made)


async def prepare(client: AsyncClient) -> None:
    """Store what the notifications refer to."""
    for name in TEMPLATES:
        t = template_files.load(EXAMPLES / f"{name}.toml")
        await client.put_template(t.name, t.contents, default_language=t.default_language, variables=t.variables)
    await client.upsert_recipient(recipient_id=INBOX_OF, language="de", timezone="Europe/Vienna")


async def deliver(client: AsyncClient, step: Step) -> Outcome:
    """Send one and wait until it is delivered, by the provider that should have it."""
    outcome = Outcome(step)
    notification_id = ""
    try:
        result = await client.send(**step.fields)
        notification_id = result.notification_id
        outcome.found = await client.wait_until(notification_id, "delivered", timeout=DELIVERY_S)
        providers = {delivery.provider for delivery in outcome.found.deliveries}
        if providers != {step.provider}:
            outcome.problem = f"went by {', '.join(sorted(providers)) or 'nobody'} instead of {step.provider}"
    except DeliveryEnded as error:
        outcome.found, outcome.problem = error.notification, str(error)
    except ClientError as error:
        outcome.problem = str(error)
        if notification_id:
            outcome.found = await _last_seen(client, notification_id)
    return outcome


async def _last_seen(client: AsyncClient, notification_id: str) -> Notification | None:
    try:
        return await client.get(notification_id)
    except ClientError:
        return None  # the first problem is the one to tell


def show(outcomes: Sequence[Outcome]) -> None:
    """Print each timeline, and what went wrong."""
    for outcome in outcomes:
        stdout.print()
        stdout.print(Rule(f"[bold]{outcome.step.title}[/bold]", align="left", style="dim"))
        if outcome.found is not None:
            stdout.print(timeline(outcome.found))
        if outcome.problem:
            stdout.print(f"[red]Not delivered:[/red] {escape(outcome.problem)}")


def verdict(outcomes: Sequence[Outcome], seconds: float, folder: Path) -> str:
    """The last line, in markup."""
    bad = [outcome.step.provider for outcome in outcomes if outcome.problem]
    if bad:
        return f"[red]{len(bad)} of {len(outcomes)} not delivered: {', '.join(bad)}.[/red] Logs: {folder / 'logs'}"
    good = ", ".join(outcome.step.provider for outcome in outcomes)
    return f"[green]All {len(outcomes)} delivered[/green] ({good}) in {seconds:.1f} s, start included. `make up` stays up."


async def _run(folder: Path, say: Callable[[str], None]) -> list[Outcome]:
    # Of the operator's settings only the servers: routes and providers of his own would make another demo.
    known = load_settings(partial=True)
    given = Settings(redis_url=known.redis_url, database_url=known.database_url, allow_pure=known.allow_pure)
    async with running(folder, say, fixed_ports=False, given=given) as (system, _):
        async with system.client() as client:
            await prepare(client)
            say("Sending one notification per provider ...")
            outcomes = await asyncio.gather(*(deliver(client, step) for step in steps()))
        say("Stopping ...")
    return outcomes


def demonstrate(folder: Path, *, json: bool) -> Exit:
    """The command. Exits with 0 only if everything was delivered."""
    began = time.monotonic()

    def say(line: str) -> None:
        if not json:
            stderr.print(line, soft_wrap=True)

    say(f"tidings demo in {folder.absolute()}")
    try:
        outcomes = run_until_signal(_run(folder, say))
    except StartFailed as error:
        if json:
            print_json({"ok": False, "problem": str(error)})
        stderr.print("[red]tidings did not start:[/red]", escape(str(error)), soft_wrap=True)
        return Exit.FAILED
    except TidingsError as error:
        if json:
            print_json({"ok": False, "problem": str(error)})
        stderr.print("[red]Error:[/red]", escape(str(error)), soft_wrap=True)
        return exit_code(error)
    if outcomes is None:
        say("Interrupted; everything is stopped.")
        return Exit.INTERRUPTED
    seconds = time.monotonic() - began
    ok = not any(outcome.problem for outcome in outcomes)
    if json:
        listed = [{"provider": o.step.provider, "problem": o.problem or None, "notification": o.found} for o in outcomes]
        print_json({"ok": ok, "seconds": round(seconds, 2), "notifications": listed})
    else:
        show(outcomes)
        stdout.print(Rule(style="dim"))
        stdout.print(verdict(outcomes, seconds, folder))
    return Exit.OK if ok else Exit.FAILED
