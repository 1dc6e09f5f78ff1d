"""What the gateway keeps and tells: templates, recipients, inboxes, notifications, streams."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from core import keys
from core.changes import Changes
from core.clock import SYSTEM_CLOCK
from core.errors import StoreUnavailable
from core.ids import format_id, new_id, parse_id, partition_of
from core.model import Channel, Priority, Station, Status
from core.settings import Settings
from core.store import Store
from core.streams import Append, Streams
from fastpath import Record, pack_frame, record, unpack_frame
from fastpath.layout import FIRST, OUTCOME
from ledger import Ledger
from ledger.applier import Frame
from ledger.values import InboxItem
from tests.helpers import eventually
from tests.integration.gateway_kit import Door, details, gateway, notification
from tidings.v1 import admin_pb2, inbox_pb2, recipients_pb2, templates_pb2
from tidings.v1 import notifications_pb2 as pb
from tidings.v1.types_pb2 import (
    CHANNEL_EMAIL,
    CHANNEL_IN_APP,
    CHANNEL_PUSH,
    CHANNEL_SMS,
    PLATFORM_FCM,
    STATUS_DELIVERED,
    STATUS_QUEUED,
    Device,
    Recipient,
)


@pytest.fixture
async def door(settings: Settings, store: Store, ledger: Ledger) -> AsyncIterator[Door]:
    async with gateway(settings, store, ledger) as running:
        yield running


async def refused(call: Any, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> dict[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is code
    return details(caught.value)[1]


# Templates ------------------------------------------------------------------------------------------------------------


async def test_a_template_has_versions(door: Door) -> None:
    assert [await door.put(), await door.put(text="Dear {{ name }}")] == [1, 2]
    get = templates_pb2.TemplatesServiceGetRequest
    latest = (await door.templates.Get(get(name="welcome"), metadata=door.auth)).template
    first = (await door.templates.Get(get(name="welcome", version=1), metadata=door.auth)).template
    assert (latest.version, latest.contents[1].text) == (2, "Dear {{ name }}")
    assert (first.version, first.contents[1].text) == (1, "Hello {{ name }}")
    assert first.variables[0].required and first.created_at.seconds > 0
    for missing in (get(name="welcome", version=3), get(name="nope"), get(name="welcome", version=2**32 - 1)):
        await refused(door.templates.Get(missing, metadata=door.auth), grpc.StatusCode.NOT_FOUND)


async def test_a_new_version_is_used_at_once(door: Door) -> None:
    await door.put()
    await door.send(notification())
    await door.put()
    await door.send(notification())
    await door.send(notification(template_version=1))
    assert sorted(r.version for _, r in await door.accepted()) == [1, 1, 2]


async def test_a_version_that_cannot_be_announced_is_stored_and_used_all_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await door.put()
    await door.send(notification())

    async def fail(self: Changes, kind: str, key: str) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Changes, "publish", fail)
    assert await door.put() == 2
    await door.send(notification())
    assert sorted(r.version for _, r in await door.accepted()) == [1, 2]
    assert "not announced" in caplog.text


async def test_templates_are_told_to_other_processes(door: Door, store: Store) -> None:
    heard: list[tuple[str, str]] = []
    listener = asyncio.create_task(Changes(store).listen(lambda kind, key: heard.append((kind, key))))

    async def told() -> bool:
        await door.put()
        return ("template", "welcome") in heard

    await eventually(told)
    listener.cancel()


async def test_the_list_of_templates_has_pages(door: Door) -> None:
    for name in ("c", "a", "b"):
        await door.put(name)
    await door.put("b")
    request = templates_pb2.TemplatesServiceListRequest(page_size=2)
    first = await door.templates.List(request, metadata=door.auth)
    request.page_token = first.next_page_token
    second = await door.templates.List(request, metadata=door.auth)
    assert [(t.name, t.version) for t in [*first.templates, *second.templates]] == [("a", 1), ("b", 2), ("c", 1)]
    assert second.next_page_token == "" and not first.templates[0].contents[0].text
    assert await refused(
        door.templates.List(templates_pb2.TemplatesServiceListRequest(page_token="?"), metadata=door.auth)
    ) == {"page_token": "ERROR_REASON_INVALID_FORMAT"}


async def test_a_bad_template_is_not_stored(door: Door) -> None:
    assert await refused(door.templates.Put(templates_pb2.PutRequest(), metadata=door.auth)) == {
        "template": "ERROR_REASON_REQUIRED"
    }
    bad = templates_pb2.PutRequest(template=templates_pb2.Template(name="a b", default_language="en"))
    bad.template.contents.add(channel=CHANNEL_SMS, language="en", text="{{ name")
    assert await refused(door.templates.Put(bad, metadata=door.auth)) == {
        "template.name": "ERROR_REASON_INVALID_FORMAT",
        "template.contents[0].text": "ERROR_REASON_INVALID_TEMPLATE",
    }


async def test_preview_renders_without_sending(door: Door) -> None:
    await door.put(
        contents=[
            templates_pb2.Content(
                channel=CHANNEL_PUSH, language="en", title="Hi", data={"who": '{{ name }} "x"', "plain": "{}"}
            ),
            templates_pb2.Content(channel=CHANNEL_EMAIL, language="de", subject="Servus {{ name }}", html="<b>{{ name }}</b>"),
        ]
    )
    request = templates_pb2.PreviewRequest(name="welcome", channel=CHANNEL_EMAIL, language="de-AT")
    request.data.update({"name": "<Ada>"})
    reply = await door.templates.Preview(request, metadata=door.auth)
    assert (reply.version, reply.content.language, reply.content.subject) == (1, "de", "Servus <Ada>")
    assert reply.content.html == "<b>&lt;Ada&gt;</b>"
    request.channel = CHANNEL_PUSH
    reply = await door.templates.Preview(request, metadata=door.auth)
    assert dict(reply.content.data) == {"who": '<Ada> "x"', "plain": "{}"}
    request.data.Clear()
    assert await refused(door.templates.Preview(request, metadata=door.auth)) == {"data.name": "ERROR_REASON_MISSING_VARIABLE"}
    request.channel = CHANNEL_IN_APP
    assert await refused(door.templates.Preview(request, metadata=door.auth)) == {"channel": "ERROR_REASON_MISSING_CONTENT"}


async def test_preview_of_a_template_that_is_not_stored(door: Door) -> None:
    template = templates_pb2.Template(name="draft", default_language="en")
    template.variables.add(name="n")
    template.contents.add(channel=CHANNEL_SMS, language="en", text="{{ 1 // n }}")
    request = templates_pb2.PreviewRequest(template=template, channel=CHANNEL_SMS)
    request.data.update({"n": 1})
    reply = await door.templates.Preview(request, metadata=door.auth)
    assert (reply.version, reply.content.text) == (0, "1")
    request.data.update({"n": 0})
    assert await refused(door.templates.Preview(request, metadata=door.auth)) == {"template": "ERROR_REASON_INVALID_TEMPLATE"}
    request.name = "welcome"
    assert await refused(door.templates.Preview(request, metadata=door.auth)) == {"name": "ERROR_REASON_INVALID_FORMAT"}


# Recipients -----------------------------------------------------------------------------------------------------------


async def test_a_recipient_is_stored_in_normal_form_and_replaced_whole(door: Door) -> None:
    given = Recipient(recipient_id="usr_1", email="Ada@EXAMPLE.com", phone="+4915112345678", language="de-at", timezone="UTC")
    given.devices.add(platform=PLATFORM_FCM, token="t")
    reply = await door.recipients.Upsert(recipients_pb2.UpsertRequest(recipient=given), metadata=door.auth)
    assert (reply.recipient.email, reply.recipient.language) == ("Ada@example.com", "de-AT")
    get = recipients_pb2.RecipientsServiceGetRequest(recipient_id="usr_1")
    found = await door.recipients.Get(get, metadata=door.auth)
    assert found.recipient == reply.recipient and found.updated_at == reply.updated_at
    assert list(found.recipient.devices) == [Device(platform=PLATFORM_FCM, token="t")]
    await door.recipients.Upsert(
        recipients_pb2.UpsertRequest(recipient=Recipient(recipient_id="usr_1", email="eve@example.com")), metadata=door.auth
    )
    found = await door.recipients.Get(get, metadata=door.auth)
    assert found.recipient == Recipient(recipient_id="usr_1", email="eve@example.com")


async def test_recipients_that_are_refused(door: Door) -> None:
    upsert = recipients_pb2.UpsertRequest
    assert await refused(door.recipients.Upsert(upsert(), metadata=door.auth)) == {"recipient": "ERROR_REASON_REQUIRED"}
    assert await refused(door.recipients.Upsert(upsert(recipient=Recipient(timezone="Mars")), metadata=door.auth)) == {
        "recipient.recipient_id": "ERROR_REASON_REQUIRED",
        "recipient.timezone": "ERROR_REASON_UNKNOWN_TIMEZONE",
    }
    get = recipients_pb2.RecipientsServiceGetRequest(recipient_id="nobody")
    await refused(door.recipients.Get(get, metadata=door.auth), grpc.StatusCode.NOT_FOUND)


# Notifications --------------------------------------------------------------------------------------------------------


def outcome(id: bytes, status: Status, channel: int = Channel.EMAIL, **more: Any) -> Record:
    values = {"type": "welcome", "recipient_id": "ada", "accepted_ms": 1, "at_ms": SYSTEM_CLOCK.now_ms(), **more}
    return record(OUTCOME, id=id, status=status, station=Station.DISPATCHER, channel=channel, **values)


async def get(door: Door, id: str) -> pb.NotificationRecord:
    return (await door.notifications.Get(pb.GetRequest(notification_id=id), metadata=door.auth)).notification


async def test_what_was_accepted_is_found_before_anybody_has_seen_it(door: Door) -> None:
    await door.put()
    sent = await door.send(notification(source="shop", recipient=Recipient(recipient_id="ada")))
    found = await get(door, sent.notification_id)
    assert (found.type, found.template, found.source, found.recipient_id) == ("welcome", "welcome", "shop", "ada")
    assert found.accepted_at.seconds > 0 and not found.deliveries


async def test_what_the_ledger_has_not_read_yet_is_found_among_the_outcomes(door: Door, store: Store) -> None:
    id = new_id(1, Priority.LOW, SYSTEM_CLOCK.now_ms())
    await Streams(store).append([Append(keys.outcomes(1), pack_frame([outcome(id, Status.QUEUED)]))])
    assert (await get(door, format_id(id))).type == "welcome"


async def test_what_the_ledger_knows(door: Door, ledger: Ledger) -> None:
    id = new_id(1, Priority.LOW, SYSTEM_CLOCK.now_ms())
    events = [outcome(id, Status.QUEUED, flags=FIRST, template="welcome"), outcome(id, Status.DELIVERED, provider="sendgrid")]
    await ledger.applier.apply(1, [Frame("1-0", pack_frame(events))])
    found = await get(door, format_id(id))
    (delivery,) = found.deliveries
    assert (delivery.channel, delivery.status, delivery.provider) == (CHANNEL_EMAIL, STATUS_DELIVERED, "sendgrid")
    assert [event.status for event in delivery.timeline][1:] == [STATUS_QUEUED, STATUS_DELIVERED]


async def test_what_nobody_knows(door: Door) -> None:
    await refused(get(door, format_id(new_id(1, Priority.LOW, SYSTEM_CLOCK.now_ms()))), grpc.StatusCode.NOT_FOUND)
    for bad in ("", "x", "018bcfe5-6800-4001-8000-000000000000"):
        assert set(await refused(get(door, bad))) == {"notification_id"}


async def test_the_list_of_notifications_has_pages_newest_first(door: Door, ledger: Ledger) -> None:
    now = SYSTEM_CLOCK.now_ms()
    made = [new_id(0, Priority.LOW, now - 1000 * i) for i in range(5)]
    await ledger.applier.apply(0, [Frame("1-0", pack_frame([outcome(id, Status.QUEUED, flags=FIRST) for id in made]))])
    request = pb.ListRequest(recipient_id="ada", page_size=2)
    found: list[bytes] = []
    for _ in range(3):
        page = await door.notifications.List(request, metadata=door.auth)
        found += [parse_id(each.notification_id) for each in page.notifications]
        request.page_token = page.next_page_token
    assert found == made and not request.page_token
    request.before.FromMilliseconds(now - 1500)
    request.after.FromMilliseconds(now - 3500)
    request.page_size = 10
    page = await door.notifications.List(request, metadata=door.auth)
    assert [parse_id(each.notification_id) for each in page.notifications] == made[2:4]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListRequest(page_size=501), "page_size"),
        (pb.ListRequest(page_size=-1), "page_size"),
        (pb.ListRequest(page_token="zz"), "page_token"),
        (pb.ListRequest(type="a\n"), "type"),
        (pb.ListRequest(recipient_id="a" * 129), "recipient_id"),
    ],
)
async def test_lists_that_are_refused(door: Door, request_: pb.ListRequest, field: str) -> None:
    assert list(await refused(door.notifications.List(request_, metadata=door.auth))) == [field]


async def test_a_list_before_time_began_is_empty(door: Door) -> None:
    request = pb.ListRequest()
    request.after.seconds = -62135596800
    request.before.seconds = -1
    assert not (await door.notifications.List(request, metadata=door.auth)).notifications


# Inbox ----------------------------------------------------------------------------------------------------------------


def message(number: int, recipient_id: str = "ada") -> InboxItem:
    now = SYSTEM_CLOCK.now_ms()
    id = new_id(number % 4, Priority.HIGH, now)
    return InboxItem(id, recipient_id, "welcome", f"title {number}", "body", "https://shop.example/", now)


async def test_the_inbox_has_pages_newest_first(door: Door, ledger: Ledger) -> None:
    items = [message(i) for i in range(3)]
    await ledger.inbox.store([*items, message(9, "eve")])
    request = inbox_pb2.InboxServiceListRequest(recipient_id="ada", page_size=2)
    first = await door.inbox.List(request, metadata=door.auth)
    request.page_token = first.next_page_token
    second = await door.inbox.List(request, metadata=door.auth)
    assert [m.title for m in [*first.messages, *second.messages]] == ["title 2", "title 1", "title 0"]
    assert (first.unread, second.next_page_token) == (3, "")
    assert first.messages[0].action == "https://shop.example/" and not first.messages[0].HasField("read_at")


async def test_reading_is_told_to_the_ledger_and_once_more_if_asked_again(door: Door, ledger: Ledger, store: Store) -> None:
    items = [message(i) for i in range(3)]
    foreign = message(9, "eve")
    await ledger.inbox.store([*items, foreign])
    ids = [format_id(item.notification_id) for item in (*items[:2], foreign)]
    request = inbox_pb2.MarkReadRequest(recipient_id="ada", notification_ids=[*ids, ids[0]])
    assert (await door.inbox.MarkRead(request, metadata=door.auth)).marked == 2
    assert (await door.inbox.MarkRead(request, metadata=door.auth)).marked == 0
    told: list[Record] = []
    for partition in range(4):
        for _, frame in await Streams(store).peek(keys.outcomes(partition), 0, 2**53, 100):
            told += unpack_frame(frame)
            assert {partition_of(each.id) for each in told[-1:]} == {partition}
    expected = (Status.READ, Station.RECIPIENT, Channel.IN_APP, "ada")
    assert {(t.status, t.station, t.channel, t.recipient_id) for t in told} == {expected}
    assert sorted(t.id for t in told) == sorted([item.notification_id for item in items[:2]] * 2)
    assert len({(t.id, t.at_ms) for t in told}) == 2  # the second time says the same as the first
    unread = await door.inbox.List(inbox_pb2.InboxServiceListRequest(recipient_id="ada", unread_only=True), metadata=door.auth)
    assert [m.title for m in unread.messages] == ["title 2"] and unread.unread == 1


async def test_marks_that_are_refused(door: Door) -> None:
    bad = inbox_pb2.MarkReadRequest(notification_ids=["x"])
    assert await refused(door.inbox.MarkRead(bad, metadata=door.auth)) == {
        "recipient_id": "ERROR_REASON_REQUIRED",
        "notification_ids[0]": "ERROR_REASON_INVALID_FORMAT",
    }


async def test_a_watcher_sees_what_comes_after_it_began(door: Door, ledger: Ledger, store: Store) -> None:
    await ledger.inbox.store([message(0)])
    call = door.inbox.Watch(inbox_pb2.WatchRequest(recipient_id="ada"), metadata=door.auth)
    await call.initial_metadata()
    for number in (1, 2):
        await ledger.inbox.store([message(number)])
        await Changes(store).poke_inbox("ada")
        seen: Any = await call.read()
        assert seen.message.title == f"title {number}"
    call.cancel()


async def test_a_watcher_comes_back_and_misses_nothing(door: Door, ledger: Ledger) -> None:
    items = [message(i) for i in range(4)]
    await ledger.inbox.store(items)
    request = inbox_pb2.WatchRequest(recipient_id="ada", after_notification_id=format_id(items[1].notification_id))
    call = door.inbox.Watch(request, metadata=door.auth)
    seen: list[Any] = [await call.read(), await call.read()]
    assert [each.message.title for each in seen] == ["title 2", "title 3"]
    call.cancel()


async def test_a_watcher_of_an_empty_inbox_is_woken_by_its_first_message(door: Door, ledger: Ledger, store: Store) -> None:
    call = door.inbox.Watch(inbox_pb2.WatchRequest(recipient_id="ada"), metadata=door.auth)
    await call.initial_metadata()
    await ledger.inbox.store([message(1)])
    await Changes(store).poke_inbox("ada")
    seen: Any = await call.read()
    assert seen.message.title == "title 1"
    call.cancel()


async def test_a_hundred_watchers_leave_connections_for_others(door: Door) -> None:
    calls = [door.inbox.Watch(inbox_pb2.WatchRequest(recipient_id=f"usr_{i}"), metadata=door.auth) for i in range(100)]
    await asyncio.gather(*(call.initial_metadata() for call in calls))
    await door.put()
    await asyncio.gather(*(door.send(notification()) for _ in range(20)))
    for call in calls:
        call.cancel()


# Operators ------------------------------------------------------------------------------------------------------------


async def test_an_operator_sees_streams_and_processes(door: Door) -> None:
    await door.put()
    await door.send(notification())
    found = await door.admin.ListStations(admin_pb2.ListStationsRequest(), metadata=door.auth)
    depth = {state.stream: state.depth for state in found.streams}
    assert depth["in:medium"] == 1 and depth["out:email:high"] == 0

    async def beating() -> bool:
        reply = await door.admin.ListStations(admin_pb2.ListStationsRequest(), metadata=door.auth)
        return any(member.station == "gateway" for member in reply.members)

    await eventually(beating)
