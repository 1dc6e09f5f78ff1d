"""Discard: takes every e-mail and sends nothing, as Postfix's transport of that name; for load tests and rehearsals. No I/O."""

import logging
from collections.abc import Sequence

from senders.provider import Desk, Message, sent

log = logging.getLogger("tidings.senders")

DISCARDED = "discarded"  # what timelines show in place of a provider's code


class Discard:
    """senders.provider.Provider."""

    name = "discard"

    def __init__(self) -> None:
        """Says in the log that nothing is sent: e-mails will look as if they were."""
        log.warning("e-mails that go by discard are noted as sent and NOT SENT to anybody", extra={"provider": self.name})

    async def send(self, messages: Sequence[Message], desk: Desk) -> None:
        """See senders.provider.Carrier."""
        begun = await desk.begin_all(messages)
        if begun:
            desk.end_all(begun, sent(code=DISCARDED))

    async def close(self) -> None:
        """See senders.provider.Carrier. Nothing is open."""
