"""A notification and its timelines as rich tables: for `status`, `send --wait` and `demo`."""

from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tidings.values import Delivery, Notification

_COLOURS = {"delivered": "green", "opened": "green", "clicked": "green", "read": "green", "sent": "cyan"} | dict.fromkeys(
    ("failed", "dead", "unknown"), "red"
)
_WARNINGS = dict.fromkeys(("suppressed", "expired", "cancelled", "retrying"), "yellow")


def colour(status: str) -> str:
    """The colour of a status."""
    return (_COLOURS | _WARNINGS).get(status, "default")


def since(at: datetime, start: datetime | None) -> str:
    """Time since acceptance: "+3 ms", "+1.20 s", "+2 min 5 s", "+3 h 1 min"."""
    if start is None:
        return ""
    seconds = max((at - start).total_seconds(), 0.0)
    if seconds < 1:
        return f"+{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"+{seconds:.2f} s"
    if seconds < 3600:
        return f"+{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"+{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def headline(found: Notification) -> str:
    """What it is, in one line of markup."""
    whom = f" to {escape(found.recipient_id)}" if found.recipient_id else ""
    template = f", template {escape(found.template)}" if found.template not in {"", found.type} else ""
    return f"[bold]{escape(found.type)}[/bold] ({found.priority}){whom}{template}  [dim]{found.notification_id}[/dim]"


def delivery_table(delivery: Delivery, start: datetime | None) -> Table:
    """The timeline of one delivery."""
    title = Text.assemble(
        (delivery.channel, "bold"),
        f" by {delivery.provider}" if delivery.provider else "",
        f" in {delivery.language}" if delivery.language else "",
        ": ",
        (delivery.status, colour(delivery.status)),
    )
    table = Table(title=title, title_justify="left", title_style="", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("status", "station", "provider"):
        table.add_column(name, min_width=10)
    table.add_column("since accept", justify="right", min_width=12)
    notes = any(event.code or event.reason for event in delivery.timeline)
    if notes:
        table.add_column("what was said", overflow="fold")
    for event in delivery.timeline:
        note = " ".join(filter(None, (event.code, event.reason)))
        cells: list[RenderableType] = [
            Text(event.status, colour(event.status)),
            event.station,
            event.provider,
            since(event.at, start),
        ]
        table.add_row(*cells, *([escape(note)] if notes else []))
    return table


def timeline(found: Notification) -> RenderableType:
    """A notification with all its deliveries."""
    parts: list[RenderableType] = [headline(found)]
    for delivery in found.deliveries:
        parts += ["", delivery_table(delivery, found.accepted_at)]
    if not found.deliveries:
        parts.append("accepted; the dispatcher has not seen it yet")
    return Group(*parts)
