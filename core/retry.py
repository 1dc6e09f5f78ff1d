"""The retry decision: what follows a failed attempt. A pure function of plain values; another room carries it out.

Backoff: full jitter over the schedule's step for the attempt, never earlier than the provider's Retry-After, never past the
expiry.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.model import Class, ErrorClass

AMBIGUOUS_WAIT_MS = 15_000  # time for a webhook to settle an unanswered attempt before its backoff begins
UNREACHABLE_MAX_MS = 24 * 3600 * 1000  # a provider that was gone for a day is an operator's business


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `due_ms` (milliseconds since the epoch)."""

    due_ms: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Permanent: no attempt can succeed."""


@dataclass(frozen=True, slots=True)
class Dead:
    """Attempts are spent: to the dead-letter stream."""


@dataclass(frozen=True, slots=True)
class Expire:
    """The next attempt would come too late."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it was taken and sending twice is worse than not at all: leave it to webhooks."""


Decision: TypeAlias = Retry | Fail | Dead | Expire | Unknown

_PERMANENT = frozenset({ErrorClass.PERMANENT, ErrorClass.UNREGISTERED})
_PROVIDERS_OWN = frozenset(
    {ErrorClass.TEMPORARY, ErrorClass.THROTTLED, ErrorClass.UNREACHABLE, ErrorClass.MISCONFIGURED}
)  # nothing was taken, and another provider may well take it


def decide(
    *,
    attempt: int,
    error_class: ErrorClass,
    klass: Class,
    schedule: Sequence[int],
    now_ms: int,
    expires_ms: int = 0,
    retry_after_ms: int = 0,
    queued_ms: int = 0,
    alternative: bool = False,
    rng: random.Random | None = None,
) -> Decision:
    """What to do after attempt number `attempt` (from 1) failed with `error_class`.

    Args:
        attempt: attempts made so far, the failed one included.
        error_class: what the attempt's answer was.
        klass: after an ambiguous answer, promotional is not sent again, all else is.
        schedule: backoff steps in milliseconds; their number is the number of retries.
        now_ms: the clock, milliseconds since the epoch.
        expires_ms: no attempt at or after this; 0 for no expiry.
        retry_after_ms: the provider's own wish (429), milliseconds from now; 0 for none.
        queued_ms: when it was put in the queue, the last time; bounds how long an unreachable provider is waited for. 0: not
            known.
        alternative: another provider is well; a first failure that says nothing about the recipient goes there at once.
        rng: source of jitter.
    """
    if error_class in _PERMANENT:
        return Fail()
    if error_class is ErrorClass.POISON:
        return Dead()
    if error_class is ErrorClass.AMBIGUOUS and klass is Class.PROMOTIONAL:
        return Unknown()
    if error_class is ErrorClass.UNREACHABLE and schedule:
        if queued_ms and now_ms - queued_ms > UNREACHABLE_MAX_MS:
            return Dead()
        step = schedule[0]  # the provider did not see it: no attempt is spent
    elif attempt > len(schedule):
        return Dead()
    else:
        step = schedule[attempt - 1]
    if alternative and attempt == 1 and error_class in _PROVIDERS_OWN:
        step = retry_after_ms = 0
    wait_ms = int(step * (rng or random).random())
    if error_class is ErrorClass.AMBIGUOUS:
        wait_ms += AMBIGUOUS_WAIT_MS
    due_ms = now_ms + max(wait_ms, retry_after_ms, 1)
    if expires_ms and due_ms >= expires_ms:
        return Expire()
    return Retry(due_ms)
