"""The in-app channel: messages stored in their recipients' inboxes, all of a batch at once; those who watch are told."""

import logging
from collections.abc import Sequence

from core.changes import Changes
from core.errors import StoreError
from core.model import Part
from ledger import Ledger
from ledger.values import InboxItem
from senders.provider import Desk, Message, delivered
from senders.tracing import calling

log = logging.getLogger("tidings.senders")

NAME = "in_app"  # what outcomes call this channel's provider


class InAppChannel:
    """senders.provider.Carrier of in-app messages."""

    def __init__(self, ledger: Ledger, changes: Changes) -> None:
        self._ledger = ledger
        self._changes = changes

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier. Storing twice is storing once, so an entry may be handed in again at any time."""
        for message in messages:
            message.provider = NAME
        begun = await desk.begin_all(messages)
        if not begun:
            return
        answer = delivered()
        with calling(NAME, "store inbox", begun) as call:
            await self._ledger.inbox.store([item_of(message) for message in begun])
            call.answered(answer.error_class)
        desk.end_all(begun, answer)
        await self._poke({message.record.address for message in begun})

    async def _poke(self, recipients: set[str]) -> None:
        try:
            await self._changes.poke_inbox(*recipients)
        except StoreError as error:  # watchers look by themselves every few seconds
            log.warning("watchers of inboxes were not told: %s", error, extra={"channel": "in_app"})

    async def close(self) -> None:
        """See senders.provider.Carrier. The ledger belongs to whoever opened it."""


def item_of(message: Message) -> InboxItem:
    """The message as the inbox stores it."""
    record = message.record
    return InboxItem(
        notification_id=record.id,
        recipient_id=record.address,
        type=record.type,
        title=message.text(Part.TITLE),
        body=message.text(Part.BODY),
        action=message.text(Part.ACTION),
        created_ms=message.begun_ms,
    )
