"""What a delivery's outcomes mean to whoever stores them: their order, what they bill, how the ledger packs them. No I/O.

Shared by the native packer of rows, its twin and the ledger's reader: it is said once. The statuses themselves are given.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# A row's `outcomes` are the byte COMPACT and the outcomes folded into the row, one after the other:
#
#     u8 status | u8 station, + BEGUN if `sending` follows | u8 error class | varint attempt | varint units |
#     zigzag at (ms after the id was made) | zigzag sending (ms after `at`) |
#     provider, provider_id, code, reason: varint length and UTF-8 each
#
# A usual one has 14 bytes besides its strings; varints as fastpath/varints.py has them.
COMPACT = 0x80  # rows written before have a status here
BEGUN = 0x80

COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"

EPOCH_MS = 946_684_800_000  # PostgreSQL counts from 2000-01-01
LAST_MS = 4_102_444_800_000  # 2100; what claims to be later, or before 1970, is given this time, so that it fits a column
DAY_MS = 86_400_000
SMALL = 0x7FFF  # smallint's highest
LARGE = 0x7FFF_FFFF  # integer's
REASON_MAX = 2_000  # bytes of a provider's words; no provider has more to say
WORD_MAX = 256  # bytes of its codes and ids

Key = tuple[bytes, int, int]  # a delivery: notification id, channel, device
Tally = dict[tuple[int, int, int], dict[int, int]]  # (channel, priority, status) -> accepted_ms -> outcomes


class Order(NamedTuple):
    """How the statuses of one delivery follow each other. Times do not decide it: clocks disagree, webhooks overtake.

    1. Events are ordered by attempt, then by rank, and only among equals by time. Within one attempt a status of higher
       rank is always the later one; the next attempt's SENDING follows the last one's RETRYING, UNKNOWN or DEAD.
    2. A webhook knows no attempt (0). It is about the latest one: nothing else can have happened since.
    3. A status of `waits` after n attempts (a replay of a dead letter) leads to attempt n + 1, so that is where it belongs.
    """

    ranks: Mapping[int, int]  # status -> rank, 0 to 254; the statuses that there are
    waits: frozenset[int]  # waits for an attempt: SCHEDULED, QUEUED
    own: frozenset[int]  # once an attempt, whoever says it: attempt 0 is meant

    def reach(self, status: int, attempt: int) -> int:
        """The attempt that a report shows to exist or to be due (rule 3)."""
        return attempt + 1 if attempt and status in self.waits else attempt

    def place(self, status: int, attempt: int, latest: int) -> tuple[int, int]:
        """Where a status belongs in the order of its delivery, `latest` being the highest `reach` of all reports."""
        if attempt == 0 and status not in self.own:
            return latest, self.ranks[status]
        return self.reach(status, attempt), self.ranks[status]


class Folded(NamedTuple):
    """A batch of outcomes, ready to be stored.

    Attributes:
        deliveries: the body of a binary COPY with a row for each delivery that the batch opened; b"" for none.
        events: the body of a binary COPY with a row for each outcome of other deliveries; b"" for none.
        days: the days of both (UTC, of the notification's id), in days since the epoch.
        tally: how many outcomes the batch has.
    """

    deliveries: bytes
    events: bytes
    days: set[int]
    tally: Tally


def billed(told: Iterable[tuple[int, int]]) -> int:
    """Billed units of a delivery, from (attempt, units) of each report: an attempt's are told again by what follows it."""
    found: dict[int, int] = {}
    for attempt, units in told:
        if units > found.get(attempt, 0):
            found[attempt] = units
    return sum(found.values())
