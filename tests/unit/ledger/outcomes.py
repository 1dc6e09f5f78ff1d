"""Outcomes as the dispatcher, the senders and the webhooks report them, for the ledger's tests."""

from typing import TYPE_CHECKING, Unpack

from core import verdicts
from core.ids import new_id
from core.model import Channel, Class, Priority, Station, Status
from fastpath import Record, record
from fastpath.layout import FIRST, OUTCOME

if TYPE_CHECKING:
    from fastpath.records import Fields

DAY_MS = 86_400_000
NOW = 1_700_000_000_000  # 2023-11-14
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def an_id(at_ms: int = NOW, partition: int = 1, priority: Priority = Priority.HIGH) -> bytes:
    return new_id(partition, priority, at_ms)


def queued(notification: bytes, **changes: "Unpack[Fields]") -> Record:
    """The dispatcher's first outcome of a delivery."""
    return record(
        OUTCOME,
        id=notification,
        priority=Priority.HIGH,
        klass=Class.TRANSACTIONAL,
        channel=Channel.EMAIL,
        status=Status.QUEUED,
        station=Station.DISPATCHER,
        flags=FIRST,
        version=3,
        accepted_ms=NOW,
        at_ms=NOW + 10,
        queued_ms=NOW + 10,
        type="order_confirmation",
        recipient_id="ada",
        template="order_confirmation_v1",
        language="de",
        source="order-service",
        traceparent=TRACEPARENT,
        verdicts=verdicts.pack(("consent", "allow", "transactional"), ("route", "email", "default")),
    ).replace(**changes)


def told(notification: bytes, status: Status, /, **changes: "Unpack[Fields]") -> Record:
    """An outcome of a sender (the default) or of a webhook (station PROVIDER, attempt 0)."""
    return record(
        OUTCOME,
        id=notification,
        priority=Priority.HIGH,
        klass=Class.TRANSACTIONAL,
        channel=Channel.EMAIL,
        status=status,
        station=Station.SENDER,
        attempt=1,
        accepted_ms=NOW,
        at_ms=NOW + 100,
        queued_ms=NOW + 10,
        sending_ms=NOW + 50,
        provider="sendgrid",
        provider_id="msg-1",
    ).replace(**changes)


def webhook(notification: bytes, status: Status, /, **changes: "Unpack[Fields]") -> Record:
    """What a provider's webhook says: no attempt, its time in whole seconds, nothing else of the delivery."""
    return record(
        OUTCOME,
        id=notification,
        channel=Channel.EMAIL,
        status=status,
        station=Station.PROVIDER,
        at_ms=NOW,
        provider="sendgrid",
        provider_id="msg-1",
    ).replace(**changes)
