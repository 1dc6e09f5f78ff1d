"""Recipients for whole batches, from a local cache in front of the ledger. Fetches and forgets; decides nothing."""

from collections.abc import Awaitable, Callable, Sequence

from core.clock import SYSTEM_CLOCK, Clock
from core.shelf import Shelf
from fastpath import Contact

FRESH_MS = 60_000  # core.changes drops what changed at once; this is for messages that were lost
UNKNOWN_MS = 5_000  # "nobody has that id" is believed for less: callers often store a recipient and send right after
CAPACITY = 200_000  # recipients; about 450 bytes each


def _lifetime(_: str, recipient: Contact | None) -> int:
    return UNKNOWN_MS if recipient is None else FRESH_MS


class People(Shelf[str, Contact]):
    """How recipients are reached, by their id.

    Args:
        fetch: the contacts of those ids that exist; raises LedgerUnavailable.
        capacity: recipients kept.
        clock: for ages.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[str]], Awaitable[list[Contact]]],
        *,
        capacity: int = CAPACITY,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        async def by_id(ids: Sequence[str]) -> dict[str, Contact]:
            return {contact[0]: contact for contact in await fetch(ids)}

        super().__init__("recipients", by_id, _lifetime, capacity=capacity, clock=clock)
