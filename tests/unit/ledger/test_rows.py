"""Packed outcomes come back as they were told; what PostgreSQL cannot hold is cut to what it can."""

from core.model import Station, Status
from ledger import rows
from ledger.fold import Life
from ledger.values import Report
from tests.unit.ledger.outcomes import NOW, an_id, queued, told


def test_packed_outcomes_come_back() -> None:
    one = an_id()
    outcomes = [
        queued(one),
        told(one, Status.RETRYING, code="429", reason="zu viele Anfragen – später", error_class=2, extra=2),
    ]
    assert rows.unpack(b"".join(map(rows.pack, outcomes))) == [
        Report(Status.QUEUED, Station.DISPATCHER, 0, NOW + 10),
        Report(
            Status.RETRYING,
            Station.SENDER,
            1,
            NOW + 100,
            NOW + 50,
            2,
            2,
            "sendgrid",
            "msg-1",
            "429",
            "zu viele Anfragen – später",
        ),
    ]


def test_a_time_that_is_not_told_falls_back() -> None:
    one = an_id(NOW + 5)
    assert rows.happened_ms(queued(one, at_ms=0)) == NOW + 10
    assert rows.happened_ms(queued(one, at_ms=0, queued_ms=0)) == NOW
    assert rows.happened_ms(queued(one, at_ms=0, queued_ms=0, accepted_ms=0)) == NOW + 5


def test_a_copy_has_its_head_and_end_and_grows_by_rows() -> None:
    one = an_id()
    life = Life(queued(one), queued(one), [queued(one)])
    empty, single, double = (len(rows.copy_deliveries([life] * n)) for n in (0, 1, 2))
    assert empty == len(rows.COPY_HEAD) + len(rows.COPY_END)
    assert double - single == single - empty > 0
