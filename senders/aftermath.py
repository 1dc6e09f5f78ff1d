"""What follows an answer: the outcomes to append, the record that waits for its next attempt, the dead letter. Pure.

Whether an attempt is repeated is core.retry's decision; here it is only carried into records.
"""

import random
from dataclasses import dataclass

from core.model import Class, ErrorClass, Priority, Station, Status
from core.retry import Dead, Decision, Expire, Fail, Retry, Unknown, decide
from core.streams import Wait
from fastpath import Record, Writer, pack_frame
from fastpath.layout import OUTCOME
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


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What an item leaves behind.

    Attributes:
        outcomes: for the ledger, in their order; the last one's status is where the delivery stands.
        wait: the record with its next attempt's time.
        letter: the record for the dead-letter stream.
    """

    outcomes: tuple[Record, ...]
    wait: Wait | None = None
    letter: Record | None = None

    @property
    def status(self) -> Status:
        """Where the delivery stands now."""
        return Status(self.outcomes[-1].status)


@dataclass(frozen=True, slots=True)
class _When:
    """Which attempt an event belongs to, when it happened and when the attempt began (0: it did not)."""

    attempt: int
    now_ms: int
    begun_ms: int = 0


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
    attempt = item.attempt + 1
    when = _When(attempt, now_ms, begun_ms)
    if answer.error_class is ErrorClass.NONE:
        steps = (Status.SENT, Status.DELIVERED) if answer.status is Status.DELIVERED else (Status.SENT,)
        return Aftermath(tuple(_outcome(item, status, provider, answer, when) for status in steps))
    decision = decide(
        attempt=attempt - item.extra,  # a replay begins the backoff anew
        error_class=answer.error_class,
        klass=Class(item.klass),
        schedule=policy.steps(item.priority),
        now_ms=now_ms,
        expires_ms=item.expires_ms,
        retry_after_ms=answer.retry_after_ms,
        accepted_ms=item.accepted_ms,
        alternative=alternative,
        rng=policy.rng,
    )
    outcome = _outcome(item, _status_of(decision, answer.error_class), provider, answer, when)
    if not isinstance(decision, Retry | Dead):
        return Aftermath((outcome,))
    spent = item.attempt if answer.error_class is ErrorClass.UNREACHABLE else attempt  # who saw nothing counts nothing
    tried = item.replace(
        attempt=spent, error_class=answer.error_class, provider=provider, code=answer.code, reason=answer.reason
    )
    if isinstance(decision, Dead):
        return Aftermath((outcome,), letter=tried)
    return Aftermath((outcome,), wait=Wait(pack_frame([tried]), decision.due_ms, spent))


def after_expiry(item: Record, now_ms: int) -> Aftermath:
    """What follows when the time of `item` was over before an attempt began."""
    answer = Answer(Status.FAILED, code=EXPIRED, reason="its expires_at passed before it could be sent")
    return Aftermath((_outcome(item, Status.EXPIRED, "", answer, _When(item.attempt, now_ms)),))


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


def _outcome(item: Record, status: Status, provider: str, answer: Answer, when: _When) -> Record:
    """An event of the delivery. Its fixed fields (type, recipient) are in the dispatcher's first outcome of it already."""
    return _write(
        item.id,
        item.priority,
        item.klass,
        item.channel,
        status,
        Station.SENDER,
        item.platform,
        item.device,
        when.attempt,
        answer.error_class,
        item.version,
        answer.units,
        item.accepted_ms,
        when.now_ms,
        item.expires_ms,
        item.queued_ms,
        when.begun_ms,
        provider,
        answer.provider_id,
        answer.code,
        answer.reason,
    )


_write = Writer(
    OUTCOME,
    (
        "priority",
        "klass",
        "channel",
        "status",
        "station",
        "platform",
        "device",
        "attempt",
        "error_class",
        "version",
        "extra",
        "accepted_ms",
        "at_ms",
        "expires_ms",
        "queued_ms",
        "sending_ms",
        "provider",
        "provider_id",
        "code",
        "reason",
    ),
)
