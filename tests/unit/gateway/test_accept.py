"""Drafts to records: nothing lost, same content same digest, same recipient same partition."""

import zlib
from collections.abc import Callable

import pytest

from core.model import Channel, Priority
from gateway import accept, validate
from gateway.validate import Draft
from tests.unit.gateway.samples import NOW_MS, notification
from tidings.v1.notifications_pb2 import Notification


def draft(change: Callable[[Notification], object] = lambda n: None) -> Draft:
    made = notification()
    change(made)
    found, faults = validate.notification(made, NOW_MS)
    assert not faults
    return found


def test_everything_a_caller_says_is_in_the_record() -> None:
    record = accept.to_record(draft(), id=b"i" * 16, version=4, accepted_ms=NOW_MS, traceparent="00-aa", mark="m")
    assert (record.id, record.version, record.accepted_ms, record.traceparent, record.mark) == (
        b"i" * 16,
        4,
        NOW_MS,
        "00-aa",
        "m",
    )
    assert (record.priority, record.channel, record.extra) == (Priority.HIGH, Channel.EMAIL.mask | Channel.SMS.mask, 60)
    assert (record.at_ms, record.expires_ms) == (NOW_MS - 1000, NOW_MS + 60_000)
    assert (record.type, record.template, record.source) == ("order_confirmation", "order_confirmation", "order-service")
    assert (record.recipient_id, record.email, record.phone) == ("usr_456", "user@example.com", "+4915112345678")
    assert (record.language, record.timezone) == ("de-AT", "Europe/Vienna")
    assert record.devices.startswith(b"[[1,") and b'"order_id":"ord_789"' in record.data


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n.data.update({"order_id": "another"}),
        lambda n: setattr(n, "type", "other"),
        lambda n: setattr(n, "priority", 1),
        lambda n: setattr(n, "notification_class", 3),
        lambda n: n.channels.pop(),
        lambda n: setattr(n.recipient, "email", "eve@example.com"),
        lambda n: setattr(n, "template_version", 4),
        lambda n: setattr(n.expires_at, "seconds", n.expires_at.seconds + 1),
        lambda n: setattr(n.created_at, "seconds", n.created_at.seconds - 1),
        lambda n: n.ClearField("dedupe_window"),
        lambda n: setattr(n, "source", "other"),
    ],
)
def test_other_content_has_another_digest(change: Callable[[Notification], object]) -> None:
    assert accept.content_of(draft(change)) != accept.content_of(draft())


@pytest.mark.parametrize(
    "change",
    [
        lambda n: None,
        lambda n: setattr(n, "idempotency_key", "other"),
        lambda n: setattr(n.recipient, "email", "user@EXAMPLE.com"),
        lambda n: setattr(n, "notification_class", 1),  # the default, said aloud
    ],
)
def test_the_same_content_has_the_same_digest(change: Callable[[Notification], object]) -> None:
    assert accept.content_of(draft(change)) == accept.content_of(draft())


def test_the_order_of_data_does_not_matter() -> None:
    one, other = notification(a=1, b=2), notification(b=2, a=1)
    assert accept.content_of(validate.notification(one, NOW_MS)[0]) == accept.content_of(
        validate.notification(other, NOW_MS)[0]
    )


def test_keys_belong_to_their_caller() -> None:
    marks = {accept.mark_of(caller, key) for caller, key in [("a", "bc"), ("ab", "c"), ("a", "b"), ("", "abc"), ("1:a", "bc")]}
    assert len(marks) == 5
    assert all(len(mark) == 32 for mark in marks)


def test_a_recipient_stays_in_its_partition() -> None:
    def clear(*names: str) -> Draft:
        def change(n: Notification) -> None:
            n.ClearField("channels")
            for name in names:
                n.recipient.ClearField(name)  # type: ignore[arg-type]

        return draft(change)

    partitions = 7
    assert accept.partition(draft(), partitions) == zlib.crc32(b"usr_456") % partitions
    assert accept.partition(clear("recipient_id"), partitions) == zlib.crc32(b"user@example.com") % partitions
    assert accept.partition(clear("recipient_id", "email"), partitions) == zlib.crc32(b"+4915112345678") % partitions
    only_devices = clear("recipient_id", "email", "phone")
    assert accept.partition(only_devices, partitions) == zlib.crc32(only_devices.to.devices) % partitions
