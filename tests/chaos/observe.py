"""Reads the books of a running system: in flight, left in Redis, received by providers, told by the ledger."""

from collections import Counter
from collections.abc import Iterable, Mapping

import aiohttp

from core import keys
from core.census import census
from core.ids import format_id
from core.model import RANK, Channel, Priority, Status
from core.store import Store
from ledger import Ledger
from ledger.values import NotificationFilter, StoredNotification
from senders.http import NO_ANSWER
from tests.chaos.books import Entry
from tests.chaos.script import PEOPLE

PAGE = 2_000
INBOX_PAGE = 5_000


async def in_hand(store: Store, partitions: int, channels: Iterable[Channel]) -> int:
    """Deliveries that the channels' senders have in hand now: the records of all pending entries."""
    streams = [keys.outbound(p, c, q) for p in range(partitions) for c in channels for q in Priority]
    total = 0
    for stream in streams:
        (pending,) = await store.exchange([["XPENDING", stream, keys.SENDERS, "-", "+", 1000]])
        if not isinstance(pending, list):
            continue  # no such stream yet
        for row in pending:
            (entries,) = await store.send([["XRANGE", stream, row[0], row[0]]])
            total += sum(int.from_bytes(fields[1][4:8], "little") for _, fields in entries)
    return total


async def left_on_the_path(store: Store, partitions: int) -> int:
    """Entries and waiting items on the path; dead letters are an end, not the path."""
    return sum(s.depth + s.waiting for s in await census(store, partitions) if not s.stream.startswith("dead:"))


async def received(providers: aiohttp.ClientSession, ledger: Ledger) -> Counter[str]:
    """How often each notification arrived: at a simulated provider, or in its recipient's inbox."""
    async with providers.get("/counts") as answer:
        counts: Mapping[str, Mapping[str, int]] = (await answer.json())["counts"]
    found = Counter({id_: sum(places.values()) for id_, places in counts.items()})
    for i in range(PEOPLE):
        before = None
        while page := await ledger.inbox.list(f"chaos-{i}", False, INBOX_PAGE, before):
            found.update(format_id(item.notification_id) for item in page)
            before = page[-1].notification_id
    return found


async def ledger_book(ledger: Ledger, since_ms: int) -> dict[str, Entry]:
    """What the ledger says of every notification accepted since a time."""
    book: dict[str, Entry] = {}
    before = b""
    while page := await ledger.deliveries.list(NotificationFilter(after_ms=since_ms, before_id=before, limit=PAGE)):
        book.update((format_id(n.notification_id), _entry(n)) for n in page)
        before = page[-1].notification_id
    return book


def _entry(notification: StoredNotification) -> Entry:
    """One channel each, so one delivery each; the least of them if there should be more."""
    status = min((d.status for d in notification.deliveries), key=lambda s: RANK[s], default=Status.ACCEPTED)
    events = [event for d in notification.deliveries for event in d.timeline]
    silent = sum(event.code == NO_ANSWER for event in events)
    return Entry(status, silent)
