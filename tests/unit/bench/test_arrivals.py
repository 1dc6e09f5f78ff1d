"""Where the time of a notification went, from its timeline."""

import pytest

from bench.arrivals import STAGES, stages
from core.model import Channel, Class, Priority, Station, Status
from ledger.values import StoredDelivery, StoredNotification, TimelineEvent

ID = bytes(16)


def stored(*events: tuple[Status, int]) -> StoredNotification:
    line = tuple(TimelineEvent(status, at_ms, Station.SENDER, 1) for status, at_ms in events)
    delivery = StoredDelivery(Channel.EMAIL, 0, events[-1][0], 1, line)
    return StoredNotification(ID, "t", Priority.CRITICAL, Class.ALERT, "ada", "t", "s", 1_010, "", (delivery,))


def test_stages_are_between_the_stations() -> None:
    found = stages(1_000.0, stored((Status.QUEUED, 1_030), (Status.SENDING, 1_070), (Status.SENT, 1_150)), "id")
    assert found == dict(zip(STAGES, (10, 20, 40, 80), strict=True))


def test_an_end_may_be_a_delivery_at_once() -> None:
    assert (
        stages(1_000.0, stored((Status.QUEUED, 1_030), (Status.SENDING, 1_070), (Status.DELIVERED, 1_080)), "id")["provider"]
        == 10
    )


@pytest.mark.parametrize("found", [None, stored((Status.QUEUED, 1_030)), stored((Status.SUPPRESSED, 1_030))])
def test_what_did_not_arrive_is_an_error_and_no_figure(found: StoredNotification | None) -> None:
    with pytest.raises(RuntimeError, match="did not reach the provider"):
        stages(1_000.0, found, "id")
