"""What follows an answer: the outcomes to append, the record that waits for its next attempt, the dead letter. Pure.

Whether an attempt is repeated is core.retry's decision; here it is only carried into records.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.model import Class, ErrorClass, Priority, Station, Status
from core.retry import Dead, Decision, Expire, Fail, Retry, Unknown, decide
from core.streams import Wait
from fastpath import Record, outcome_frame, pack_frame, unpack_frame
from senders.provider import Answer

EXPIRED = "expired"  # code of an outcome that no provider caused


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Backoff steps in milliseconds, and the source of jitter."""

    schedule_ms: tuple[int, ...]
    critical_schedule_ms: tuple[int, ...]
    rng: random.Random

    def steps(self, priority: int) -> tuple[int, ...]:
        """The steps for a priority; their number is the number of retries."""
        return self.critical_schedule_ms if priority == Priority.CRITICAL else self.schedule_ms


class Aftermath(NamedTuple):
    """What items leave behind.

    Attributes:
        frame: their outcomes for the ledger, in their order; b"" for none.
        status: where their deliveries stand now.
        wait: the record of an item with its next attempt's time.
        letter: the record of an item for the dead-letter stream.
    """

    frame: bytes
    status: Status
    wait: Wait | None = None
    letter: Record | None = None

    @property
    def outcomes(self) -> list[Record]:
        """The outcomes as records."""
        return unpack_frame(self.frame)


def after_success(items: Sequence[Record], provider: str, answer: Answer, *, begun_ms: int, now_ms: int) -> Aftermath:
    """What follows when one call took all of `items`; times as in `after_answer`."""
    steps = (Status.SENT, Status.DELIVERED) if answer.status is Status.DELIVERED else (Status.SENT,)
    return Aftermath(_outcomes(items, steps, provider, answer, begun_ms=begun_ms, now_ms=now_ms), steps[-1])


def after_answer(
    item: Record,
    provider: str,
    answer: Answer,
    *,
    begun_ms: int,
    now_ms: int,
    policy: RetryPolicy,
    alternative: bool = False,
) -> Aftermath:
    """What follows the attempt at `item` that began at `begun_ms` and was answered at `now_ms` (ms since the epoch).

    `alternative`: another provider is well and could take it at once.
    """
    if answer.error_class is ErrorClass.NONE:
        return after_success([item], provider, answer, begun_ms=begun_ms, now_ms=now_ms)
    attempt = item.attempt + 1
    decision = decide(
        attempt=attempt - item.extra,  # a replay begins the backoff anew
        error_class=answer.error_class,
        klass=Class(item.klass),
        schedule=policy.steps(item.priority),
        now_ms=now_ms,
        expires_ms=item.expires_ms,
        retry_after_ms=answer.retry_after_ms,
        queued_ms=item.queued_ms,
        alternative=alternative,
        rng=policy.rng,
    )
    status = _status_of(decision, answer.error_class)
    frame = _outcomes([item], [status], provider, answer, begun_ms=begun_ms, now_ms=now_ms)
    if not isinstance(decision, Retry | Dead):
        return Aftermath(frame, status)
    spent = item.attempt if answer.error_class is ErrorClass.UNREACHABLE else attempt  # who saw nothing counts nothing
    tried = item.replace(
        attempt=spent, error_class=answer.error_class, provider=provider, code=answer.code, reason=answer.reason
    )
    if isinstance(decision, Dead):
        return Aftermath(frame, status, letter=tried)
    return Aftermath(frame, status, wait=Wait(pack_frame([tried]), decision.due_ms, spent))


def after_expiry(item: Record, now_ms: int) -> Aftermath:
    """What follows when the time of `item` was over before an attempt began."""
    answer = Answer(Status.FAILED, code=EXPIRED, reason="its expires_at passed before it could be sent")
    return Aftermath(_outcomes([item], [Status.EXPIRED], "", answer, begun_ms=0, now_ms=now_ms), Status.EXPIRED)


def _status_of(decision: Decision, error_class: ErrorClass) -> Status:
    match decision:
        case Retry():
            # Nobody knows whether the first attempt arrived: its timeline says so until the next one is answered.
            return Status.UNKNOWN if error_class is ErrorClass.AMBIGUOUS else Status.RETRYING
        case Dead():
            return Status.DEAD
        case Fail():
            return Status.FAILED
        case Expire():
            return Status.EXPIRED
        case Unknown():
            return Status.UNKNOWN


def _outcomes(
    items: Sequence[Record], statuses: Sequence[Status], provider: str, answer: Answer, *, begun_ms: int, now_ms: int
) -> bytes:
    """Events of deliveries; `begun_ms` 0: there was no attempt."""
    return outcome_frame(
        items,
        statuses,
        station=Station.SENDER,
        attempts=1 if begun_ms else 0,
        at_ms=now_ms,
        begun_ms=begun_ms,
        error_class=answer.error_class,
        units=answer.units,
        provider=provider,
        provider_id=answer.provider_id,
        code=answer.code,
        reason=answer.reason,
    )
