"""Events on their way to the ledger: whose id it is, and the record that it becomes."""

import uuid
from collections.abc import Mapping

import pytest

from core.arrivals import MINUTE_MS, Counts
from core.errors import StoreFull
from core.ids import format_id, new_id, time_of
from core.model import Channel, ErrorClass, Priority, Station, Status
from core.streams import Append
from fastpath import unpack_frame
from gateway.web.events import OLDEST_MS, SKEW_MS, Event, Fate, Teller, device_number, our_id, outcome
from gateway.web.webhooks import sendgrid, twilio

NOW_MS = 1_800_000_000_000
ID = new_id(3, Priority.HIGH, NOW_MS - 5_000)


def test_an_id_of_ours_is_known() -> None:
    assert our_id(format_id(ID), NOW_MS) == ID


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "not an id",
        str(uuid.UUID(int=4, version=4)),
        format_id(new_id(0, 1, NOW_MS + SKEW_MS + 1)),
        format_id(new_id(0, 1, NOW_MS - OLDEST_MS - 1)),
    ],
    ids=["none", "a number", "empty", "words", "another version", "of the future", "too old"],
)
def test_what_tidings_cannot_have_made_is_not_ours(text: object) -> None:
    assert our_id(text, NOW_MS) is None


@pytest.mark.parametrize(
    ("text", "device"), [("0", 0), ("7", 7), ("255", 255), ("256", 0), ("-1", 0), ("x", 0), ("²", 0), (None, 0), (3, 0)]
)
def test_device_number(text: object, device: int) -> None:
    assert device_number(text) == device


def test_the_record_carries_the_providers_words_without_addresses() -> None:
    fate = Fate(Status.FAILED, ErrorClass.UNREGISTERED, "5.1.1", "no mailbox ada@example.com here " + "x" * 400)
    made = outcome(Event(ID, Channel.EMAIL, 2, fate, NOW_MS - 1_000, "sendgrid", "abc"), NOW_MS)
    assert (made.id, made.channel, made.device, made.priority) == (ID, Channel.EMAIL, 2, Priority.HIGH)
    assert (made.status, made.station, made.error_class) == (Status.FAILED, Station.PROVIDER, ErrorClass.UNREGISTERED)
    assert (made.provider, made.provider_id, made.code, made.attempt) == ("sendgrid", "abc", "5.1.1", 0)
    assert made.at_ms == NOW_MS - 1_000
    assert made.accepted_ms == time_of(ID)
    assert made.reason.startswith("no mailbox [address] here") and len(made.reason) == 300


@pytest.mark.parametrize(("told_ms", "noted_ms"), [(0, NOW_MS), (NOW_MS + 60_000, NOW_MS), (1, NOW_MS - 5_000)])
def test_a_clock_that_is_wrong_moves_nothing_out_of_its_time(told_ms: int, noted_ms: int) -> None:
    assert outcome(Event(ID, Channel.SMS, 0, Fate(Status.DELIVERED), told_ms), NOW_MS).at_ms == noted_ms


async def nothing(news: Mapping[tuple[str, int], Counts]) -> None:
    """Counts nothing."""


async def test_events_go_to_their_partitions_in_frames() -> None:
    appended: list[Append] = []

    async def append(items: object) -> list[str]:
        assert isinstance(items, list)
        appended.extend(items)
        return [""] * len(items)

    ids = [new_id(partition, 1, NOW_MS - 1) for partition in (0, 1, 5) for _ in range(300)]
    await Teller(append, 4, nothing).tell([Event(i, Channel.SMS, 0, Fate(Status.DELIVERED)) for i in ids], NOW_MS)
    found: dict[str, list[bytes]] = {}
    for item in appended:
        records = unpack_frame(item.frame)
        assert len(records) <= 256
        found.setdefault(item.stream, []).extend(record.id for record in records)
    assert len(found) == 2  # partition 5 is not read in a system of four: its events go where they are
    assert sorted(id_ for batch in found.values() for id_ in batch) == sorted(ids)


def test_a_sendgrid_event_names_its_delivery() -> None:
    raw = {
        "event": "delivered",
        "tidings_id": format_id(ID),
        "tidings_device": "1",
        "timestamp": NOW_MS // 1000,
        "sg_message_id": "14c5d75ce93.recvd-1.0",
    }
    event = sendgrid.read_event(raw, NOW_MS)
    assert event == Event(ID, Channel.EMAIL, 1, Fate(Status.DELIVERED), NOW_MS + 999, "sendgrid", "14c5d75ce93")
    assert sendgrid.read_event({**raw, "event": "processed"}, NOW_MS) == "ignored"
    assert sendgrid.read_event({**raw, "tidings_id": "x"}, NOW_MS) == "foreign"
    assert sendgrid.read_event("x", NOW_MS) == "foreign"


def test_a_twilio_callback_names_its_delivery() -> None:
    form = {"MessageStatus": "delivered", "MessageSid": "SM1"}
    event = twilio.read_event(format_id(ID), form, NOW_MS)
    assert event == Event(ID, Channel.SMS, 0, Fate(Status.DELIVERED), 0, "twilio", "SM1")
    assert twilio.read_event(format_id(ID), {"MessageStatus": "sent"}, NOW_MS) == "ignored"
    assert twilio.read_event("", form, NOW_MS) == "foreign"


async def test_ends_that_providers_tell_are_counted_by_the_minute_of_acceptance() -> None:
    told: list[Mapping[tuple[str, int], Counts]] = []

    async def append(items: object) -> list[str]:
        return []

    async def note(news: Mapping[tuple[str, int], Counts]) -> None:
        told.append(news)
        raise StoreFull("full")  # the events themselves are safe

    fates = [Fate(Status.DELIVERED), Fate(Status.OPENED), Fate(Status.FAILED), Fate(Status.FAILED, blocked=True)]
    events = [Event(ID, Channel.EMAIL, 0, fate, 0, "sendgrid") for fate in fates]
    by_app = Event(ID, Channel.PUSH, 0, Fate(Status.DELIVERED))
    await Teller(append, 4, note).tell([*events, by_app], NOW_MS)
    assert told == [{("sendgrid", time_of(ID) // MINUTE_MS): Counts(told=3, blocked=1)}]
