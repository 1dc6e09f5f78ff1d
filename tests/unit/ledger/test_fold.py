"""Folding: what of a batch becomes a row of its own, what becomes an event, and which outcome is the status."""

import itertools

import pytest

from core.model import Channel, Status
from fastpath.layout import FIRST
from ledger.fold import fold, key_of
from tests.unit.ledger.outcomes import NOW, an_id, queued, told, webhook


def test_a_usual_life_in_one_batch_is_one_row() -> None:
    one = an_id()
    life = [queued(one), told(one, Status.SENT), webhook(one, Status.DELIVERED)]
    lives, late = fold(life)
    assert late == []
    assert [(each.first, each.last.status, each.told) for each in lives] == [(life[0], Status.DELIVERED, life)]


def test_order_within_a_batch_does_not_matter() -> None:
    one = an_id()
    life = [queued(one), told(one, Status.SENT), webhook(one, Status.DELIVERED)]
    for order in itertools.permutations(life):
        lives, late = fold(order)
        assert late == [] and len(lives) == 1
        assert lives[0].first == life[0] and lives[0].last == life[2]


def test_outcomes_without_the_first_are_events() -> None:
    one, other = an_id(), an_id()
    sent = told(one, Status.SENT)
    lives, late = fold([sent, queued(other)])
    assert late == [sent]
    assert [life.first.id for life in lives] == [other]


def test_channels_and_devices_are_deliveries_of_their_own() -> None:
    one = an_id()
    lives, _ = fold(
        [
            queued(one),
            queued(one, channel=Channel.PUSH, device=0),
            queued(one, channel=Channel.PUSH, device=1),
            told(one, Status.SENT, channel=Channel.PUSH, device=1),
        ]
    )
    assert [(life.first.channel, life.first.device, life.last.status) for life in lives] == [
        (Channel.EMAIL, 0, Status.QUEUED),
        (Channel.PUSH, 0, Status.QUEUED),
        (Channel.PUSH, 1, Status.SENT),
    ]


def test_a_first_told_twice_makes_one_row() -> None:
    one = an_id()
    lives, late = fold([queued(one), queued(one)])
    assert len(lives) == 1 and late == []


def test_a_delivery_that_has_its_row_gets_events_only() -> None:
    one, other = an_id(), an_id()
    again = [queued(one), told(one, Status.SENT)]
    lives, late = fold([*again, queued(other)], {key_of(again[0])})
    assert late == again
    assert [life.first.id for life in lives] == [other]


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        pytest.param([(Status.RETRYING, 1), (Status.SENT, 2)], Status.SENT, id="the later attempt"),
        pytest.param([(Status.SENT, 2), (Status.RETRYING, 1)], Status.SENT, id="the later attempt, told first"),
        pytest.param([(Status.DEAD, 1), (Status.RETRYING, 2)], Status.RETRYING, id="a replay of a dead letter"),
        pytest.param([(Status.SENT, 1), (Status.FAILED, 0)], Status.FAILED, id="a late bounce"),
        pytest.param([(Status.UNKNOWN, 1), (Status.DELIVERED, 0)], Status.DELIVERED, id="the webhook knows better"),
    ],
)
def test_status(outcomes: list[tuple[Status, int]], status: Status) -> None:
    one = an_id()
    ((life,), _) = fold([queued(one), *(told(one, each, attempt=attempt) for each, attempt in outcomes)])
    assert life.last.status == status


def test_of_equals_the_later_one_counts() -> None:
    one = an_id()
    ((life,), _) = fold(
        [queued(one), webhook(one, Status.OPENED, at_ms=NOW + 9000), webhook(one, Status.OPENED, at_ms=NOW + 5000)]
    )
    assert life.last.at_ms == NOW + 9000


def test_a_suppressed_notification_is_a_row_without_a_channel() -> None:
    one = an_id()
    ((life,), _) = fold([queued(one, channel=0, status=Status.SUPPRESSED, flags=FIRST)])
    assert life.last.status == Status.SUPPRESSED


@pytest.mark.parametrize("changes", [{"status": 99}, {"status": 0}, {"station": 0}, {"channel": 9}])
def test_what_could_not_be_read_back_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="there is no"):
        fold([queued(an_id(), **changes)])  # type: ignore[arg-type]
