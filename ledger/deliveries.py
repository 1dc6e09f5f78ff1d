"""Reads what became of notifications: rows of deliveries and later events, put together as timelines."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from core import verdicts
from core.ids import priority_of, time_of
from core.model import Channel, Class, Priority, Station, Status
from ledger import timeline
from ledger.database import Database, Row
from ledger.rows import unpack
from ledger.sql import load
from ledger.values import NotificationFilter, Report, StoredDelivery, StoredNotification, Verdict

_SQL = load("deliveries")

END = UUID(int=(1 << 128) - 1)  # after every id


class _Row(NamedTuple):
    """A row of deliveries as the query `rows` selects it."""

    notification_id: UUID
    channel: int
    device: int
    accepted_ms: int
    template_version: int
    priority: int
    klass: int
    trace_id: UUID | None
    type: str
    recipient_id: str
    template: str
    language: str
    source: str
    outcomes: bytes
    verdicts: str | None


class _Event(NamedTuple):
    """A row of events as the query `events` selects it."""

    notification_id: UUID
    channel: int
    device: int
    type: str | None
    recipient_id: str | None
    status: int
    station: int
    attempt: int
    at_ms: int
    sending_ms: int
    error_class: int
    units: int
    provider: str
    provider_id: str
    code: str
    reason: str

    def report(self) -> Report:
        """The event without its delivery."""
        return Report(Status(self.status), Station(self.station), *self[7:])


class DeliveryStore:
    """Reads notifications with their deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, notification_id: bytes) -> StoredNotification | None:
        """A notification; None while nothing of it has been applied."""
        found = await self._fetch([UUID(bytes=notification_id)])
        return found[0] if found else None

    async def _fetch(self, ids: Sequence[UUID]) -> list[StoredNotification]:
        """These notifications, in this order; unknown ones are left out."""
        if not ids:
            return []
        params = {"ids": ids, "first": min(ids), "last": max(ids)}
        rows: dict[UUID, list[_Row]] = defaultdict(list)
        events: dict[UUID, list[_Event]] = defaultdict(list)
        async with self._database.connection() as connection:
            # Events first: what moves meanwhile is seen late rather than without its row.
            for found in await (await connection.execute(_SQL["events"], params)).fetchall():
                events[found[0]].append(_Event(*found))
            for found in await (await connection.execute(_SQL["rows"], params)).fetchall():
                rows[found[0]].append(_Row(*found))
        return [assemble(id_.bytes, rows[id_], events[id_]) for id_ in ids if id_ in rows or id_ in events]

    async def list(self, wanted: NotificationFilter) -> list[StoredNotification]:
        """Notifications, newest first, at most `wanted.limit`; only those whose first outcome was applied."""
        end = min(
            UUID(bytes=wanted.before_id) if wanted.before_id else END, _first_id(wanted.before_ms) if wanted.before_ms else END
        )
        first = _first_id(wanted.after_ms)
        async with self._database.connection() as connection:
            ids = await _newest_by_day(connection, wanted, first, end)
        return await self._fetch(ids)


async def _newest_by_day(connection: AsyncConnection[Row], wanted: NotificationFilter, first: UUID, end: UUID) -> list[UUID]:
    """The newest day first, until there are enough: what leads to rows of a recipient or a type is ordered within a day."""
    query = "list_by_recipient" if wanted.recipient_id else "list_by_type" if wanted.type else "list_all"
    words = {"recipient_id": wanted.recipient_id, "type": wanted.type}
    found: list[UUID] = []
    for lower, upper in await (await connection.execute(_SQL["days"], {"first": first, "end": end})).fetchall():
        bounds = {"lower": lower, "upper": upper, "first": max(first, lower), "end": min(end, upper)}
        found += await _newest(connection, query, wanted.limit - len(found), words | bounds)
        if len(found) >= wanted.limit:
            break
    return found


async def _newest(connection: AsyncConnection[Row], query: str, limit: int, params: dict[str, Any]) -> list[UUID]:
    """At most `limit` different ids, newest first; a query may have an id as often as it has rows."""
    found: dict[UUID, None] = {}
    while True:
        # Planned for these bounds each time: what suits any would read all of a day.
        rows = await (await connection.execute(_SQL[query], {**params, "limit": limit}, prepare=False)).fetchall()
        found |= dict.fromkeys(id_ for (id_,) in rows)
        if len(rows) < limit or len(found) >= limit:
            return list(found)[:limit]
        params = params | {"end": rows[-1][0]}


def assemble(notification_id: bytes, rows: Iterable[_Row], events: Iterable[_Event]) -> StoredNotification:
    """One notification from its rows, in any order; where no row is there yet, from what the events and the id tell."""
    opened = {(row.channel, row.device): row for row in rows}
    made_ms = time_of(notification_id)
    told: dict[tuple[int, int], list[Report]] = {key: unpack(row.outcomes, made_ms) for key, row in opened.items()}
    type_ = recipient_id = ""
    for event in events:
        told.setdefault((event.channel, event.device), []).append(event.report())
        type_, recipient_id = event.type or type_, event.recipient_id or recipient_id
    first = min(opened.values(), default=None)
    accepted_ms = first.accepted_ms if first else made_ms
    return StoredNotification(
        notification_id,
        first.type if first else type_,
        Priority(first.priority) if first and first.priority else priority_of(notification_id),
        Class(first.klass) if first and first.klass else None,
        first.recipient_id if first else recipient_id,
        first.template if first else "",
        first.source if first else "",
        accepted_ms,
        first.trace_id.hex if first and first.trace_id else "",
        tuple(_delivery(*key, accepted_ms, opened.get(key), told[key]) for key in sorted(told)),
    )


def _delivery(channel: int, device: int, accepted_ms: int, row: _Row | None, reports: list[Report]) -> StoredDelivery:
    line = timeline.build(accepted_ms, reports)
    return StoredDelivery(
        Channel(channel) if channel else None,
        device,
        line.events[-1].status,
        line.attempts,
        line.events,
        line.provider,
        line.provider_id,
        line.units,
        row.language if row else "",
        row.template_version if row else 0,
        tuple(starmap(Verdict, verdicts.unpack(row.verdicts))) if row and row.verdicts else (),
    )


def _first_id(ms: int) -> UUID:
    """The lowest id of a moment."""
    return UUID(int=ms << 80)
