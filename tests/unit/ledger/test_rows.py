"""Packed outcomes come back as they were told."""

from struct import Struct

from core.model import Channel, Station, Status
from fastpath import RowPacker, pack_frame
from fastpath.outcomes import COPY_HEAD
from ledger.rows import unpack
from ledger.timeline import ORDER
from ledger.values import Report
from tests.unit.ledger.outcomes import NOW, an_id, queued, told

OUTCOMES = 19  # which column of a delivery's row


def column(body: bytes, index: int) -> bytes:
    """A column of the first row of a COPY's body."""
    at = len(COPY_HEAD) + 2
    for _ in range(index):
        at += 4 + Struct(">i").unpack_from(body, at)[0]
    return body[at + 4 :][: Struct(">i").unpack_from(body, at)[0]]


def test_packed_outcomes_come_back() -> None:
    one = an_id()
    outcomes = [
        queued(one),
        told(one, Status.RETRYING, code="429", reason="zu viele Anfragen – später", error_class=2, extra=2),
    ]
    body = RowPacker(ORDER, list(Station), list(Channel)).pack([pack_frame(outcomes)]).deliveries
    assert unpack(column(body, OUTCOMES), NOW) == [
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


def test_rows_from_before_outcomes_were_packed_closely_are_read() -> None:
    opening = bytes.fromhex("03 02 00 0000 0000 0000018bcfe5680a 0000000000000000 0000 0000 0000 0000")
    sent = bytes.fromhex("05 03 02 0001 0002 0000018bcfe56864 0000018bcfe56832 0008 0005 0000 0000")
    row = opening + sent + b"sendgridmsg-1"
    assert unpack(row, NOW) == [
        Report(Status.QUEUED, Station.DISPATCHER, 0, NOW + 10),
        Report(Status.SENT, Station.SENDER, 1, NOW + 100, NOW + 50, 2, 2, "sendgrid", "msg-1"),
    ]
