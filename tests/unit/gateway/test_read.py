"""What is read natively is what validate.py and accept.py would have made of it: the same record, and nothing they refuse."""

from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.ids import new_id, partition_of, priority_of
from core.model import Priority
from core.pressure import Level, Verdict, verdict
from fastpath import Reader, Record, Terms
from gateway import accept, admission, catalog, validate
from gateway.catalog import Facts, Reference
from tests.unit.gateway.samples import NOW_MS, notification
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.notifications_pb2 import Notification
from tidings.v1.types_pb2 import PLATFORM_FCM, Device

PARTITIONS = 5
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
KNOWN: dict[Reference, Facts | None] = {
    ("welcome", 0): Terms("welcome", 7, frozenset({"name"}), 0b1111),
    ("welcome", 3): Terms("welcome", 3, frozenset(), 0b0011),
    ("gone", 0): None,
}
READER = Reader(PARTITIONS, accept.CHECKS)

PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PRINTABLE = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12)
NUMBERS = st.floats() | st.integers(-(2**53), 2**53).map(float) | st.sampled_from([-0.0, 2.0**53 + 2, 1e16, 1e-7, 0.1])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | PLAIN_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN_TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["welcome", "order.update-2_x", "gone", "", "-a", "a b", "x" * 128, "x" * 129, "é"])
EMAILS = st.sampled_from(
    [
        "ada@example.com",
        "Ada@Example.com",
        "a.b+c_d@x-1.co.uk",
        "ada@",
        "a@b.invalid",
        "a@b.example",
        "a@b.test",
        "ü@b.de",
        "a@bü.de",
        "a@b--c.de",
        "a@xn--bcher-kva.de",
        "a\0@b.de",
        f"{'a' * 64}@b.de",
        f"{'a' * 65}@b.de",
        '"a b"@c.de',
        "a@1.2.3.de",
    ]
) | st.from_regex(r"[a-z0-9._+-]{1,6}@[a-z0-9.-]{1,8}\.[a-z]{1,4}", fullmatch=True)
PHONES = st.sampled_from(["+4915112345678", "+15550100", "+999123456", "0171", "+12125550123", "+43" + "1" * 12])
LANGUAGES = st.sampled_from(["en", "de-at", "DE", "zh-hant-tw", "xx-YY", "de_AT", "x" * 36])
TIMEZONES = st.sampled_from(["Europe/Vienna", "UTC", "Europe/Atlantis", "../etc"])
LINES = PRINTABLE | PLAIN_TEXT | st.sampled_from([" a", "a ", "a\n", "x" * 128, "x" * 129, "ä" * 128, "k" * 255, "k" * 256])
TIMES = st.sampled_from([0, -1, 1, NOW_MS // 1000, NOW_MS // 1000 + 1, 253_402_300_799, 253_402_300_800, -62_135_596_801])
NANOS = st.sampled_from([0, 1, -1, 999_999_999, 10**9, 5_000_000])


@st.composite
def notifications(draw: st.DrawFn) -> Notification:
    """Good ones, and ones that are not, in every field."""
    made = Notification(type="order", template="welcome")
    made.data["name"] = "Ada"
    made.recipient.recipient_id = "ada"
    changes = {
        "type": NAMES,
        "template": NAMES,
        "template_version": st.sampled_from([0, 3, 2**31 - 1, 2**31]),
        "priority": st.integers(-1, 5),
        "notification_class": st.integers(-1, 4),
        "source": LINES,
        "idempotency_key": LINES,
    }
    for name in draw(st.sets(st.sampled_from(sorted(changes)), max_size=3)):
        setattr(made, name, draw(changes[name]))
    made.channels[:] = draw(st.lists(st.integers(0, 5), max_size=4))  # type: ignore[arg-type]
    to = {"recipient_id": LINES, "email": EMAILS, "phone": PHONES, "language": LANGUAGES, "timezone": TIMEZONES}
    for name in draw(st.sets(st.sampled_from(sorted(to)), max_size=3)):
        setattr(made.recipient, name, draw(to[name]))
    if draw(st.booleans()) and draw(st.booleans()):
        made.recipient.recipient_id = ""
        made.recipient.devices.extend(draw(st.lists(st.just(Device(platform=PLATFORM_FCM, token="t")), max_size=2)))
    for name in draw(st.sets(st.sampled_from(["created_at", "expires_at", "dedupe_window"]))):
        field = getattr(made, name)
        field.SetInParent()
        field.seconds, field.nanos = draw(TIMES | st.integers(0, 700_000)), draw(NANOS)
    made.data.update(draw(st.dictionaries(PLAIN_TEXT | st.just("name"), VALUES, max_size=4)))
    return made


def read(wire: bytes, count: int) -> Any:
    return READER.read(
        wire,
        0,
        KNOWN,
        admitted=15,
        now_ms=NOW_MS,
        random=bytes(8 * count),
        traceparent=TRACE,
        mark=partial(accept.mark_of, "caller"),
    )


def looked_at(n: Notification, id: bytes) -> tuple[Record, bytes] | Record | None:
    """What Python makes of it; None if it is refused. `id`: the one it is to have."""
    draft, faults = validate.notification(n, NOW_MS)
    facts = KNOWN.get((draft.template, draft.version))
    if faults or facts is None or catalog.faults(draft, facts):
        return None
    assert partition_of(id) == accept.partition(draft, PARTITIONS) and priority_of(id) == draft.priority
    assert id[:8] == new_id(partition_of(id), draft.priority, NOW_MS)[:8]
    mark = accept.mark_of("caller", draft.key) if draft.key else ""
    record = accept.to_record(draft, id=id, version=facts.version, accepted_ms=NOW_MS, traceparent=TRACE, mark=mark)
    return (record, accept.content_of(draft)) if mark else record


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(notifications(), min_size=1, max_size=4))
def test_what_is_taken_is_what_python_would_make_of_it(some: list[Notification]) -> None:
    wire = pb.SendBatchRequest(notifications=some).SerializeToString()
    scanned = READER.scan(wire)
    assert scanned is not None and scanned[0] == len(some)
    for n, taken in zip(some, read(wire, len(some)), strict=True):
        if taken is not None:
            record = taken[0] if isinstance(taken, tuple) else taken
            assert taken == looked_at(n, record.id)
            assert (n.template, n.template_version) in scanned[1]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(notifications())
def test_hardly_anything_good_needs_a_closer_look(n: Notification) -> None:
    (taken,) = read(pb.SendRequest(notification=n).SerializeToString(), 1)
    if taken is None and not n.recipient.devices:
        draft, faults = validate.notification(n, NOW_MS)
        facts = KNOWN.get((draft.template, draft.version))
        negative = n.created_at.seconds < 0  # a time before 1970
        assert faults or facts is None or catalog.faults(draft, facts) or negative


def test_a_digest_is_the_same_by_either_way() -> None:
    made = notification()
    made.recipient.ClearField("devices")
    known: dict[Reference, Facts | None] = {("order_confirmation", 3): Terms("order_confirmation", 3, frozenset(), 15)}
    wire = pb.SendRequest(notification=made).SerializeToString()
    taken = READER.read(
        wire, 0, known, admitted=15, now_ms=NOW_MS, random=bytes(8), traceparent=TRACE, mark=partial(accept.mark_of, "me")
    )[0]
    assert isinstance(taken, tuple)
    draft, _ = validate.notification(made, NOW_MS)
    assert taken[1] == accept.content_of(draft) and taken[0].mark == accept.mark_of("me", "order 789")


@pytest.mark.parametrize("level", Level)
def test_what_is_admitted_is_what_the_verdict_accepts(level: Level) -> None:
    for priority in Priority:
        accepted = verdict(level, priority) is Verdict.ACCEPT
        assert bool(admission.ADMITTED[level] >> (priority - 1) & 1) is accepted
