"""What arrived at the simulators, in bounded memory: the newest messages whole, a count for each notification.

Knows no provider and does no I/O. One event loop owns a store; nothing here is safe to call from another thread.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import islice
from sys import intern
from typing import Any

MAX_MESSAGES = 20_000
MAX_BYTES = 256 * 1024 * 1024  # of texts; the rest of a message is small
MAX_COUNTED = 1_500_000  # notifications; about 250 bytes each, as most arrive once
PAGE_EVERY_S = 0.1  # a watcher hears of new messages in batches, so that a flood of them cannot drown it
PAGE_MOST = 200
PAGE_CHARS = 400  # of a message's text that a watcher is told


@dataclass(slots=True)
class Message:
    """One message that a simulator took. `seq` is given by the store; times are milliseconds since the epoch."""

    provider: str  # sendgrid, smtp, twilio, fcm, apns
    channel: str  # email, sms, push
    to: str
    sender: str
    notification_id: str  # "" if the message does not say
    provider_id: str
    at_ms: int
    device: int = 0
    title: str = ""  # an e-mail's subject, a push's title
    text: str = ""
    html: str = ""
    data: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""  # the fault it met, if any
    events: list[tuple[str, int]] = field(default_factory=list)  # what became of it and when
    seq: int = 0

    @property
    def size(self) -> int:
        """Bytes that it holds, roughly."""
        return len(self.text) + len(self.html) + len(self.title) + 512

    def summary(self, text_chars: int | None = None) -> dict[str, Any]:
        """As JSON, without the html (see `GET /messages/{seq}/html`); the text cut to `text_chars`."""
        return {
            "seq": self.seq,
            "provider": self.provider,
            "channel": self.channel,
            "to": self.to,
            "from": self.sender,
            "notification_id": self.notification_id,
            "device": self.device,
            "provider_id": self.provider_id,
            "at_ms": self.at_ms,
            "title": self.title,
            "text": self.text[:text_chars],
            "has_html": bool(self.html),
            "data": self.data,
            "headers": self.headers,
            "fault": self.fault,
            "events": [{"event": event, "at_ms": at_ms} for event, at_ms in self.events],
        }


@dataclass(frozen=True, slots=True)
class Query:
    """Which messages: every given field must match, `to` as a part of the address."""

    provider: str = ""
    channel: str = ""
    to: str = ""
    notification_id: str = ""
    after: int = 0  # seq
    limit: int = 100

    def matches(self, message: Message) -> bool:
        """Whether the message is one of them."""
        return (
            message.seq > self.after
            and (not self.provider or message.provider == self.provider)
            and (not self.channel or message.channel == self.channel)
            and (not self.notification_id or message.notification_id == self.notification_id)
            and self.to in message.to
        )


class Store:
    """Messages by arrival. The oldest leave when there are too many or too large ones; the counts stay longer."""

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES, max_counted: int = MAX_COUNTED) -> None:
        self._limits = (max_messages, max_bytes, max_counted)
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._seq = 0
        self._counts: OrderedDict[str, str | dict[str, int]] = OrderedDict()  # where it arrived once, or how often where
        self.totals: dict[str, int] = {}  # by provider
        self.refused: dict[str, int] = {}  # answered with an error, by provider
        self._watchers: set[asyncio.Event] = set()
        self._closed = False

    def add(self, message: Message) -> Message:
        """Keep a message, number it, count it."""
        max_messages, max_bytes, max_counted = self._limits
        self._seq += 1
        message.seq = self._seq
        self._messages.append(message)
        self._bytes += message.size
        while len(self._messages) > max_messages or (self._bytes > max_bytes and len(self._messages) > 1):
            self._bytes -= self._messages.popleft().size
        self.totals[message.provider] = self.totals.get(message.provider, 0) + 1
        if message.notification_id:
            self._count(message.notification_id, intern(f"{message.provider}/{message.device}"))
            if len(self._counts) > max_counted:
                self._counts.popitem(last=False)
        self.changed()
        return message

    def _count(self, notification_id: str, where: str) -> None:
        before = self._counts.get(notification_id)
        if before is None:
            self._counts[notification_id] = where
            return
        counts = {before: 1} if isinstance(before, str) else before
        counts[where] = counts.get(where, 0) + 1
        self._counts[notification_id] = counts

    def refuse(self, provider: str) -> None:
        """Count a call that was answered with an error."""
        self.refused[provider] = self.refused.get(provider, 0) + 1

    def note(self, message: Message, event: str, at_ms: int) -> None:
        """Add to what became of a message."""
        message.events.append((event, at_ms))
        self.changed()

    def get(self, seq: int) -> Message | None:
        """The message of that number, if it is still kept."""
        if not self._messages:
            return None
        index = seq - self._messages[0].seq  # numbers have no gaps
        return self._messages[index] if 0 <= index < len(self._messages) else None

    def find(self, query: Query) -> list[Message]:
        """Matching messages, oldest first, at most `query.limit`: the first ones after `query.after`, or the newest of all."""
        if query.after:
            return list(islice((m for m in self._messages if query.matches(m)), query.limit))
        found = list(islice((m for m in reversed(self._messages) if query.matches(m)), query.limit))
        return found[::-1]

    def counts(self, provider: str = "") -> Iterator[tuple[str, dict[str, int]]]:
        """How often each notification arrived: id, then `provider/device` to times."""
        for notification_id, found in self._counts.items():
            counts = {found: 1} if isinstance(found, str) else found
            kept = {where: n for where, n in counts.items() if not provider or where.startswith(provider + "/")}
            if kept:
                yield notification_id, kept

    def state(self) -> dict[str, Any]:
        """Totals as JSON."""
        return {
            "seq": self._seq,
            "kept": len(self._messages),
            "first": self._messages[0].seq if self._messages else 0,
            "totals": self.totals,
            "refused": self.refused,
        }

    def clear(self) -> None:
        """Forget messages, counts and totals; numbers go on."""
        self._messages.clear()
        self._bytes = 0
        self._counts.clear()
        self.totals.clear()
        self.refused.clear()
        self.changed()

    def changed(self) -> None:
        """Wake the watchers."""
        for watcher in self._watchers:
            watcher.set()

    def close(self) -> None:
        """Let the watchers go."""
        self._closed = True
        self.changed()

    async def watch(self) -> AsyncIterator[dict[str, Any]]:
        """The state and the newest messages; then, whenever something changes, the state and those that are new or changed."""
        event = asyncio.Event()
        event.set()
        self._watchers.add(event)
        told: dict[int, int] = {}  # seq -> how many events of it were told
        try:
            while not self._closed:
                await event.wait()
                event.clear()
                newest = self.find(Query(limit=PAGE_MOST))
                changed = [m.summary(PAGE_CHARS) for m in newest if told.get(m.seq) != len(m.events)]
                told = {m.seq: len(m.events) for m in newest}
                yield {"state": self.state(), "messages": changed}
                await asyncio.sleep(PAGE_EVERY_S)
        finally:
            self._watchers.discard(event)
