"""Recipients for whole batches, from a local cache in front of the ledger. Fetches and forgets; decides nothing."""

from collections.abc import Awaitable, Callable, Sequence

from core.clock import SYSTEM_CLOCK, Clock
from core.shelf import Shelf
from dispatcher.reach import reach_of
from fastpath import Reach
from ledger.values import StoredRecipient

FRESH_MS = 60_000  # core.changes drops what changed at once; this is for messages that were lost
UNKNOWN_MS = 5_000  # "nobody has that id" is believed for less: callers often store a recipient and send right after
CAPACITY = 200_000  # recipients; about 1 KB each


def _lifetime(_: str, recipient: Reach | None) -> int:
    return UNKNOWN_MS if recipient is None else FRESH_MS


class People(Shelf[str, Reach]):
    """How recipients are reached, by their id.

    Args:
        fetch: recipients by id, those that exist; raises LedgerUnavailable.
        capacity: recipients kept.
        clock: for ages.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[str]], Awaitable[dict[str, StoredRecipient]]],
        *,
        capacity: int = CAPACITY,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        async def reaches(ids: Sequence[str]) -> dict[str, Reach]:
            return {id_: reach_of(stored) for id_, stored in (await fetch(ids)).items()}

        super().__init__("recipients", reaches, _lifetime, capacity=capacity, clock=clock)
