"""What follows an answer, as a table; and that a retried record carries its error."""

import random

import pytest

from core.model import Class, ErrorClass, Priority, Station, Status
from core.retry import UNREACHABLE_MAX_MS
from fastpath import unpack_frame
from senders.aftermath import RetryPolicy, after_answer, after_expiry
from senders.provider import Answer, delivered, fault, sent
from tests.unit.senders.kit import NOW, delivery

POLICY = RetryPolicy((60_000, 300_000, 900_000), (1_000,), random.Random(7))


def after(answer: Answer, **fields: int) -> list[Status]:
    found = after_answer(delivery(**fields), "sendgrid", answer, begun_ms=NOW, now_ms=NOW + 9, policy=POLICY)  # type: ignore[arg-type]
    return [Status(outcome.status) for outcome in found.outcomes]


@pytest.mark.parametrize(
    ("answer", "fields", "expected"),
    [
        (sent("x"), {}, [Status.SENT]),
        (delivered("x"), {}, [Status.SENT, Status.DELIVERED]),
        (fault(ErrorClass.TEMPORARY, "503", ""), {}, [Status.RETRYING]),
        (fault(ErrorClass.UNREACHABLE, "connect", ""), {"attempt": 9}, [Status.RETRYING]),
        (fault(ErrorClass.THROTTLED, "429", ""), {"attempt": 2}, [Status.RETRYING]),
        (fault(ErrorClass.TEMPORARY, "503", ""), {"attempt": 3}, [Status.DEAD]),
        (fault(ErrorClass.TEMPORARY, "503", ""), {"attempt": 3, "extra": 3}, [Status.RETRYING]),  # replayed: a new allowance
        (fault(ErrorClass.TEMPORARY, "503", ""), {"attempt": 1, "priority": Priority.CRITICAL}, [Status.DEAD]),
        (fault(ErrorClass.TEMPORARY, "503", ""), {"expires_ms": NOW + 1000}, [Status.EXPIRED]),
        (fault(ErrorClass.PERMANENT, "400", ""), {}, [Status.FAILED]),
        (fault(ErrorClass.UNREGISTERED, "410", ""), {}, [Status.FAILED]),
        (fault(ErrorClass.AMBIGUOUS, "no_answer", ""), {}, [Status.UNKNOWN]),
        (fault(ErrorClass.AMBIGUOUS, "no_answer", ""), {"klass": Class.PROMOTIONAL}, [Status.UNKNOWN]),
    ],
)
def test_statuses(answer: Answer, fields: dict[str, int], expected: list[Status]) -> None:
    assert after(answer, **fields) == expected


def test_a_temporary_failure_waits_with_its_error() -> None:
    item = delivery(attempt=1)
    answer = fault(ErrorClass.THROTTLED, "429", "too many requests", retry_after_ms=500_000)
    found = after_answer(item, "sendgrid", answer, begun_ms=NOW, now_ms=NOW + 9, policy=POLICY)
    assert found.wait is not None
    assert found.letter is None
    (tried,) = unpack_frame(found.wait.frame)
    assert (found.wait.attempts, found.wait.due_ms) == (2, NOW + 9 + 500_000)  # the provider's wish is later than the step
    assert (tried.attempt, tried.error_class, tried.provider) == (2, ErrorClass.THROTTLED, "sendgrid")
    assert (tried.code, tried.reason, tried.content) == ("429", "too many requests", item.content)


def test_an_unreachable_provider_costs_no_attempt() -> None:
    answer = fault(ErrorClass.UNREACHABLE, "connect", "connection refused")
    found = after_answer(delivery(attempt=1), "smtp", answer, begun_ms=NOW, now_ms=NOW, policy=POLICY)
    assert found.wait is not None
    assert found.wait.attempts == unpack_frame(found.wait.frame)[0].attempt == 1


def test_an_unreachable_provider_is_waited_for_for_a_day_in_the_queue() -> None:
    answer = fault(ErrorClass.UNREACHABLE, "connect", "connection refused")
    late = NOW + 2 * UNREACHABLE_MAX_MS
    for queued_ms, waits in ((late - UNREACHABLE_MAX_MS, True), (late - UNREACHABLE_MAX_MS - 1, False)):
        item = delivery(queued_ms=queued_ms)  # accepted two days ago: scheduled since, or replayed
        found = after_answer(item, "smtp", answer, begun_ms=late, now_ms=late, policy=POLICY)
        assert (found.wait is not None, found.letter is None) == (waits, waits)


def test_an_ambiguous_one_is_sent_again_unless_it_is_promotional() -> None:
    answer = fault(ErrorClass.AMBIGUOUS, "no_answer", "silence")
    for klass, waits in ((Class.TRANSACTIONAL, True), (Class.ALERT, True), (Class.PROMOTIONAL, False)):
        found = after_answer(delivery(klass=klass), "fcm", answer, begun_ms=NOW, now_ms=NOW, policy=POLICY)
        assert (found.wait is not None) is waits


def test_a_dead_one_leaves_a_letter() -> None:
    answer = fault(ErrorClass.TEMPORARY, "503", "unavailable")
    found = after_answer(delivery(attempt=3), "twilio", answer, begun_ms=NOW, now_ms=NOW, policy=POLICY)
    assert found.wait is None
    assert found.letter is not None
    assert (found.letter.attempt, found.letter.code, found.letter.error_class) == (4, "503", ErrorClass.TEMPORARY)


def test_an_outcome_says_who_when_and_what() -> None:
    item = delivery(device=2, attempt=1, platform=1)
    found = after_answer(item, "twilio", sent("SM1", code="queued", units=3), begun_ms=NOW, now_ms=NOW + 9, policy=POLICY)
    (outcome,) = found.outcomes
    assert outcome.id == item.id
    assert (outcome.station, outcome.attempt, outcome.device, outcome.platform) == (Station.SENDER, 2, 2, 1)
    assert (outcome.queued_ms, outcome.sending_ms, outcome.at_ms) == (NOW - 10, NOW, NOW + 9)
    assert (outcome.provider, outcome.provider_id, outcome.code, outcome.extra) == ("twilio", "SM1", "queued", 3)
    assert outcome.flags == 0  # the dispatcher's outcome opened the delivery


def test_an_expired_one_made_no_attempt() -> None:
    found = after_expiry(delivery(attempt=1), NOW)
    (outcome,) = found.outcomes
    assert (found.status, outcome.attempt, outcome.sending_ms, found.wait) == (Status.EXPIRED, 1, 0, None)
