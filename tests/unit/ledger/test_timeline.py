"""Timelines: any order of reports, repeated ones, clocks that disagree; the last line is the status."""

import random

import pytest

from core.model import RANK, Station, Status
from ledger.timeline import build
from ledger.values import Report
from tests.unit.ledger.outcomes import NOW

QUEUED = Report(Status.QUEUED, Station.DISPATCHER, 0, NOW + 10)


def by_sender(status: Status, attempt: int = 1, at_ms: int = NOW + 100, sending_ms: int = 0, provider_id: str = "m") -> Report:
    return Report(status, Station.SENDER, attempt, at_ms, sending_ms, provider="sendgrid", provider_id=provider_id)


def by_webhook(status: Status, at_ms: int = NOW, code: str = "") -> Report:
    return Report(status, Station.PROVIDER, 0, at_ms, provider="sendgrid", code=code)


def lines(reports: list[Report]) -> list[tuple[Status, int]]:
    return [(event.status, event.attempt) for event in build(NOW, reports).events]


def test_accepted_and_sending_are_implied() -> None:
    events = build(NOW, [QUEUED, by_sender(Status.SENT, sending_ms=NOW + 50)]).events
    assert [(e.status, e.station, e.at_ms - NOW) for e in events] == [
        (Status.ACCEPTED, Station.GATEWAY, 0),
        (Status.QUEUED, Station.DISPATCHER, 10),
        (Status.SENDING, Station.SENDER, 50),
        (Status.SENT, Station.SENDER, 100),
    ]


def test_with_no_report_at_all_it_is_accepted() -> None:
    assert lines([]) == [(Status.ACCEPTED, 0)]


def test_a_webhook_in_whole_seconds_still_comes_after_what_it_is_about() -> None:
    told = [by_webhook(Status.DELIVERED, at_ms=NOW - 500), by_sender(Status.SENT, sending_ms=NOW + 50), QUEUED]
    assert [status for status, _ in lines(told)][-2:] == [Status.SENT, Status.DELIVERED]


LIFE = [
    QUEUED,
    by_sender(Status.RETRYING, 1, NOW + 100, NOW + 50),
    by_sender(Status.UNKNOWN, 2, NOW + 60_100, NOW + 60_000),
    by_sender(Status.SENT, 3, NOW + 360_100, NOW + 360_000),
    by_webhook(Status.DELIVERED, NOW + 361_000),
    by_webhook(Status.OPENED, NOW + 400_000),
    by_webhook(Status.CLICKED, NOW + 410_000),
]
LINES = [
    (Status.ACCEPTED, 0),
    (Status.QUEUED, 0),
    (Status.SENDING, 1),
    (Status.RETRYING, 1),
    (Status.SENDING, 2),
    (Status.UNKNOWN, 2),
    (Status.SENDING, 3),
    (Status.SENT, 3),
    (Status.DELIVERED, 3),
    (Status.OPENED, 3),
    (Status.CLICKED, 3),
]


@pytest.mark.parametrize("seed", range(20))
def test_order_and_repetition_of_reports_do_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    told = LIFE + rng.sample(LIFE, 3)
    rng.shuffle(told)
    assert lines(told) == LINES


def test_every_prefix_ends_in_the_status_known_so_far() -> None:
    for length in range(1, len(LIFE) + 1):
        assert build(NOW, LIFE[:length]).events[-1].status == LIFE[length - 1].status


def test_a_replayed_dead_letter_goes_on() -> None:
    dead = [QUEUED, by_sender(Status.DEAD, 3, NOW + 100, NOW + 50)]
    requeued = Report(Status.QUEUED, Station.OPERATOR, 3, NOW + 5000)
    assert lines(dead)[-1] == (Status.DEAD, 3)
    assert lines([*dead, requeued])[-1] == (Status.QUEUED, 3)
    again = [*dead, requeued, by_sender(Status.SENT, 4, NOW + 6000, NOW + 5500)]
    assert lines(again)[-3:] == [(Status.QUEUED, 3), (Status.SENDING, 4), (Status.SENT, 4)]


def test_a_late_bounce_is_the_status() -> None:
    told = [QUEUED, by_sender(Status.SENT), by_webhook(Status.DELIVERED), by_webhook(Status.FAILED, code="550")]
    assert lines(told)[-1] == (Status.FAILED, 1)


def test_sent_twice_is_shown_twice() -> None:
    told = [QUEUED, by_sender(Status.SENT, provider_id="a"), by_sender(Status.SENT, at_ms=NOW + 9000, provider_id="b")]
    assert [status for status, _ in lines(told)].count(Status.SENT) == 2


def test_the_same_fact_told_twice_is_one_event_as_first_told() -> None:
    events = build(NOW, [QUEUED, by_webhook(Status.DELIVERED, NOW + 9000), by_webhook(Status.DELIVERED, NOW + 200)]).events
    assert [e.at_ms for e in events if e.status == Status.DELIVERED] == [NOW + 200]


def test_opening_again_is_another_event_but_a_redelivered_webhook_is_not() -> None:
    opened = [by_webhook(Status.OPENED, NOW + at) for at in (1000, 1000, 7000)]
    events = build(NOW, [QUEUED, by_sender(Status.SENT), *opened]).events
    assert [e.at_ms - NOW for e in events if e.status == Status.OPENED] == [1000, 7000]


def test_suppressed_before_any_attempt() -> None:
    assert lines([Report(Status.SUPPRESSED, Station.DISPATCHER, 0, NOW + 10)]) == [(Status.ACCEPTED, 0), (Status.SUPPRESSED, 0)]


def test_provider_message_id_attempts_and_units_are_the_last_ones() -> None:
    sms = Report(Status.SENT, Station.SENDER, 2, NOW + 300, NOW + 200, units=3, provider="twilio", provider_id="SM2")
    told = [
        QUEUED,
        by_sender(Status.RETRYING, 1, NOW + 100, NOW + 50, ""),
        sms,
        Report(Status.DELIVERED, Station.PROVIDER, 0, NOW + 900, units=3, provider="twilio", provider_id="SM2"),
    ]
    line = build(NOW, told)
    assert (line.attempts, line.provider, line.provider_id, line.units) == (2, "twilio", "SM2", 3)


def test_every_status_has_a_place() -> None:
    for status in Status:
        assert build(NOW, [Report(status, Station.SENDER, 1, NOW + 5)]).events
    assert set(RANK) == set(Status)
