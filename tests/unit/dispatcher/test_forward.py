"""What is written: deliveries by channel and priority, outcomes that open them, frames within their limits."""

import orjson
import pytest

from core import keys
from core.model import Channel, Platform, Priority, Station, Status
from dispatcher import forward
from dispatcher.forward import Outbox
from fastpath import Letter, Plan, Refusal, Target, pack_parts, unpack_frame
from fastpath.layout import DELIVERY, FIRST, OUTCOME
from tests.unit.dispatcher.values import NOW, notification

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CONTENT = pack_parts([(1, b"x")])


def test_a_delivery_carries_all_that_a_sender_needs() -> None:
    source = notification(Channel.PUSH, expires_ms=NOW + 9, traceparent=TRACE.replace("b7ad", "0000"))
    outbox = Outbox(2, NOW + 5)
    letter = Letter(Target(Channel.PUSH, "token", Platform.APNS, 1), "de", CONTENT, b"[]")
    outbox.add([source], [Plan((letter,), (), 7)], [TRACE])
    out, outcomes = outbox.appends()
    assert out.stream == keys.outbound(2, Channel.PUSH, Priority.HIGH)
    (delivery,) = unpack_frame(out.frame)
    assert delivery.kind == DELIVERY
    assert (delivery.id, delivery.priority, delivery.klass, delivery.channel) == (source.id, 2, 1, Channel.PUSH)
    assert (delivery.platform, delivery.device, delivery.version, delivery.attempt) == (Platform.APNS, 1, 7, 0)
    assert (delivery.accepted_ms, delivery.expires_ms, delivery.queued_ms) == (NOW, NOW + 9, NOW + 5)
    assert (delivery.type, delivery.recipient_id, delivery.source) == ("order_confirmation", "ada", "shop")
    assert (delivery.address, delivery.language, delivery.template) == ("token", "de", "order")
    assert (delivery.content, delivery.traceparent) == (CONTENT, TRACE)
    assert outcomes.stream == keys.outcomes(2)


def test_without_new_spans_the_callers_trace_goes_on() -> None:
    outbox = Outbox(0, NOW)
    letter = Letter(Target(Channel.EMAIL, "a@b.c"), "de", CONTENT, b"[]")
    outbox.add([notification(traceparent=TRACE)], [Plan((letter,))], None)
    assert [unpack_frame(append.frame)[0].traceparent for append in outbox.appends()] == [TRACE, TRACE]


def test_what_was_taken_in_is_told_to_the_metrics() -> None:
    outbox, source = Outbox(0, NOW), notification()
    letter = Letter(Target(Channel.EMAIL, "a@b.c"), "de", CONTENT, b"[]")
    refusal = Refusal(Channel.SMS, Status.EXPIRED, "expired", "late", b"[]")
    outbox.add([source, source], [Plan((letter, letter), (refusal,)), None], None)
    assert list(outbox.tally()) == [
        (Channel.EMAIL, Priority.HIGH, Status.QUEUED, [source, source]),
        (Channel.SMS, Priority.HIGH, Status.EXPIRED, [source]),
    ]


def test_every_delivery_is_opened_by_an_outcome() -> None:
    source = notification(Channel.EMAIL, traceparent=TRACE)
    verdicts = orjson.dumps([["route", "email", "requested"]])
    outbox = Outbox(0, NOW + 5)
    refusal = Refusal(Channel.SMS, Status.SUPPRESSED, "no_address", "no_address: none", verdicts)
    letter = Letter(Target(Channel.EMAIL, "a@b.c"), "de", CONTENT, verdicts)
    outbox.add([source], [Plan((letter,), (refusal,), 3)], [""])
    queued, refused = unpack_frame(outbox.appends()[-1].frame)
    assert queued.kind == OUTCOME
    for outcome in (queued, refused):
        assert (outcome.id, outcome.flags, outcome.station, outcome.accepted_ms) == (source.id, FIRST, Station.DISPATCHER, NOW)
        assert (outcome.version, outcome.type, outcome.recipient_id) == (3, "order_confirmation", "ada")
        assert (outcome.traceparent, outcome.verdicts, outcome.at_ms) == (TRACE, verdicts, NOW + 5)
    assert (queued.status, queued.channel, queued.language, queued.queued_ms) == (Status.QUEUED, Channel.EMAIL, "de", NOW + 5)
    assert (refused.status, refused.channel, refused.code) == (Status.SUPPRESSED, Channel.SMS, "no_address")
    assert refused.reason == "no_address: none"


def test_one_frame_per_channel_and_priority() -> None:
    outbox = Outbox(0, NOW)
    email = Letter(Target(Channel.EMAIL, "a@b.c"), "de", CONTENT, b"[]")
    sms = Letter(Target(Channel.SMS, "+49"), "de", CONTENT, b"[]")
    for priority in (Priority.HIGH, Priority.HIGH, Priority.LOW):
        outbox.add([notification(priority=priority)], [Plan((email, sms))], None)
    counts = {a.stream: len(unpack_frame(a.frame)) for a in outbox.appends()}
    assert counts == {
        keys.outbound(0, Channel.EMAIL, Priority.HIGH): 2,
        keys.outbound(0, Channel.SMS, Priority.HIGH): 2,
        keys.outbound(0, Channel.EMAIL, Priority.LOW): 1,
        keys.outbound(0, Channel.SMS, Priority.LOW): 1,
        keys.outcomes(0): 6,
    }


def test_nothing_makes_no_frame() -> None:
    assert Outbox(0, NOW).appends() == ()


def test_frames_are_bounded() -> None:
    outbox = Outbox(0, NOW)
    letter = Letter(Target(Channel.EMAIL, "a@b.c"), "de", CONTENT, b"[]")
    sources = [notification() for _ in range(2 * forward.FRAME_RECORDS + 1)]
    outbox.add(sources, [Plan((letter,))] * len(sources), None)
    frames = [unpack_frame(append.frame) for append in outbox.appends()]
    assert [len(frame) for frame in frames] == [forward.FRAME_RECORDS, forward.FRAME_RECORDS, 1] * 2
    assert [record.id for frame in frames[:3] for record in frame] == [source.id for source in sources]


@pytest.mark.parametrize(("size", "counts"), [(300_000, [1, 1, 1]), (200_000, [2, 1]), (600_000, [1, 1, 1])])
def test_frames_keep_to_their_bytes_unless_one_record_is_larger(size: int, counts: list[int]) -> None:
    outbox = Outbox(0, NOW)
    letter = Letter(Target(Channel.EMAIL, "a@b.c"), "de", b"x" * size, b"[]")
    outbox.add([notification() for _ in range(3)], [Plan((letter,))] * 3, None)
    assert [len(unpack_frame(append.frame)) for append in outbox.appends()[:-1]] == counts
