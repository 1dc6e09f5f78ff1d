"""The clients against a real system: every call, with the values that come back."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

import tidings
from tests.running import Up
from tidings.messages import NotificationFields

CONTENTS: Any = {
    "email": {
        "en": {"subject": "Hello {{ name }}", "text": "Hello {{ name }}", "html": "<p>Hello {{ name }}</p>"},
        "de": {"subject": "Hallo {{ name }}", "text": "Hallo {{ name }}"},
    },
    "in_app": {"en": {"title": "Hello {{ name }}", "body": "...", "action": "https://example.com"}},
}


@pytest.fixture
def name(up: Up) -> str:
    """A template of this test's own."""
    made = f"t{uuid4().hex[:8]}"
    with tidings.Client(up.target, up.api_key) as client:
        stored = client.put_template(made, CONTENTS, variables=["name", "note?"])
    assert (stored.version, stored.variables) == (1, {"name": True, "note": False})
    return made


def fields(name: str, **more: Any) -> Any:
    return {"type": name, "template": name, "recipient": {"email": "ada@example.com"}, "data": {"name": "Ada"}, **more}


def test_one_notification_there_and_back(up: Up, name: str) -> None:
    with tidings.Client(up.target, up.api_key) as client:
        expires = datetime.now(UTC) + timedelta(hours=1)
        extra: Any = {"priority": "high", "channels": ["email"], "source": "shop", "expires_at": expires}
        sent = client.send(**fields(name, **extra))
        found = client.wait_until(sent.notification_id, timeout=30)
        listed = client.list_notifications(type=name)
    assert not sent.duplicate
    assert (found.type, found.priority, found.template, found.source) == (name, "high", name, "shop")
    assert found.notification_class == "transactional"
    (delivery,) = found.deliveries
    assert (delivery.channel, delivery.status, delivery.provider, delivery.language) == ("email", "delivered", "sendgrid", "en")
    assert delivery.template_version == 1
    statuses = [event.status for event in delivery.timeline]
    assert statuses == ["accepted", "queued", "sending", "sent", "delivered"]
    assert all(event.at.tzinfo is UTC for event in delivery.timeline)
    assert [n.notification_id for n in listed] == [sent.notification_id]


def test_a_key_used_twice(up: Up, name: str) -> None:
    key = uuid4().hex
    with tidings.Client(up.target, up.api_key) as client:
        first = client.send(**fields(name, idempotency_key=key))
        again = client.send(**fields(name, idempotency_key=key))
        assert again == tidings.Result(first.notification_id, duplicate=True)
        with pytest.raises(tidings.Conflict) as caught:
            client.send(**fields(name, idempotency_key=key, data={"name": "Grete"}))
    assert caught.value.reason == "idempotency_conflict"


def test_what_is_wrong_comes_back_by_field(up: Up, name: str) -> None:
    bad = {"email": "ada@", "phone": "0171", "timezone": "Europe/Atlantis", "language": "deutsch"}
    with tidings.Client(up.target, up.api_key) as client, pytest.raises(tidings.InvalidRequest) as caught:
        client.send(**fields(name, recipient=bad, data={}))
    assert {v.field.removeprefix("notification."): v.reason for v in caught.value.violations} == {
        "recipient.email": "invalid_email",
        "recipient.phone": "invalid_phone",
        "recipient.timezone": "unknown_timezone",
        "recipient.language": "unknown_language",
        "data.name": "missing_variable",
    }
    assert "recipient.email" in str(caught.value)


def test_many_with_a_bad_one_among_them(up: Up, name: str) -> None:
    items: list[NotificationFields] = [fields(name, recipient={"email": f"p{i}@example.com"}) for i in range(1_200)]
    items[3] = fields(name, recipient={"email": "nobody"})
    items[1_100] = fields("no-such-template")
    with tidings.Client(up.target, up.api_key, timeout=30) as client:
        results = client.send_many(items)
    assert [i for i, result in enumerate(results) if not result.ok] == [3, 1_100]
    assert len({result.notification_id for result in results}) == 1_199  # two have none
    assert isinstance(results[3].error, tidings.InvalidRequest)
    assert results[3].error.reason == "invalid_email"
    assert results[1_100].error is not None
    assert results[1_100].error.reason == "unknown_template"


async def test_a_stream_of_them(up: Up, name: str) -> None:
    async def items() -> Any:
        for i in range(300):
            yield fields(name, recipient={"email": "nobody" if i == 7 else f"p{i}@example.com"})

    async with tidings.AsyncClient(up.target, up.api_key) as client:
        results = [result async for result in client.stream(items())]
    assert [i for i, result in enumerate(results) if not result.ok] == [7]
    assert len({result.notification_id for result in results}) == 300


async def test_recipients_and_their_inbox(up: Up, name: str) -> None:
    person = f"person-{uuid4().hex[:8]}"
    async with tidings.AsyncClient(up.target, up.api_key) as client:
        stored = await client.upsert_recipient(
            recipient_id=person,
            email="Ada@Example.COM",
            phone="+442079460958",
            devices=[("fcm", "token-1-0123456789")],
            language="EN-gb",
            timezone="Europe/London",
        )
        assert (stored.phone, stored.language, stored.devices) == ("+442079460958", "en-GB", (("fcm", "token-1-0123456789"),))
        assert await client.get_recipient(person) == stored
        with pytest.raises(tidings.NotFound):
            await client.get_recipient(f"{person}-not")
        first = await client.send(**fields(name, recipient=person, channels=["in_app"]))
        await client.wait_until(first.notification_id, timeout=30)
        watch = client.watch_inbox(person, after=first.notification_id)  # misses nothing, whenever the call gets there
        arriving = asyncio.ensure_future(anext(watch))
        sent = await client.send(**fields(name, recipient=person, channels=["in_app"]))
        message = await asyncio.wait_for(arriving, 30)
        await watch.aclose()  # type: ignore[attr-defined]
        assert (message.notification_id, message.title) == (sent.notification_id, "Hello Ada")
        both = [sent.notification_id, first.notification_id]
        assert [m.notification_id for m in await client.inbox(person, unread_only=True)] == both
        assert await client.mark_read(person, both) == 2
        assert await client.inbox(person, unread_only=True) == []
        assert all(message.read_at for message in await client.inbox(person))
        found = await client.wait_until(sent.notification_id, "read", timeout=30)
    assert found.deliveries[0].status == "read"


def test_the_blocking_client_watches_too(up: Up, name: str) -> None:
    person = f"person-{uuid4().hex[:8]}"
    with tidings.Client(up.target, up.api_key) as client:
        first = client.send(**fields(name, recipient={"recipient_id": person, "email": "a@example.com"}, channels=["in_app"]))
        client.wait_until(first.notification_id, timeout=30)
        second: list[str] = []

        def send_another() -> None:
            fresh = {"recipient_id": person, "email": "a@example.com"}
            second.append(client.send(**fields(name, recipient=fresh, channels=["in_app"])).notification_id)

        thread = threading.Thread(target=send_another)
        thread.start()
        for message in client.watch_inbox(person, after=first.notification_id):
            thread.join()
            assert message.notification_id == second[0]
            break


def test_templates_have_versions_and_previews(up: Up, name: str) -> None:
    with tidings.Client(up.target, up.api_key) as client:
        second = client.put_template(name, {"email": {"en": {"subject": "Hi {{ name }}", "text": "..."}}}, variables=["name"])
        assert second.version == 2
        assert client.get_template(name).contents == {"email": {"en": {"subject": "Hi {{ name }}", "text": "..."}}}
        assert client.get_template(name, 1).contents["in_app"]["en"]["action"] == "https://example.com"
        assert {t.name: t.version for t in client.list_templates()}[name] == 2
        rendered = client.preview(name, channel="email", language="de-AT", data={"name": "<Ada>"}, version=1)
        assert (rendered["language"], rendered["subject"]) == ("de", "Hallo <Ada>")
        html = client.preview(name, channel="email", language="en", data={"name": "<Ada>"}, version=1)["html"]
        assert html == "<p>Hello &lt;Ada&gt;</p>"
        with pytest.raises(tidings.InvalidRequest) as caught:
            client.put_template(name, {"sms": {"en": {"text": "{% if %}"}}})
        assert caught.value.violations[0].reason == "invalid_template"
        with pytest.raises(tidings.NotFound):
            client.get_template("no-such-template")


def test_who_may_not_and_who_is_not_there(up: Up) -> None:
    with tidings.Client(up.target, "tk_wrong") as client, pytest.raises(tidings.Unauthenticated):
        client.stations()
    with tidings.Client(up.target, up.api_key) as client:
        with pytest.raises(tidings.NotFound):
            client.get("018f2f6e-7c7e-7d4b-9f0e-3a5b8f1c2d3e")
        with pytest.raises(tidings.InvalidRequest):
            client.get("not-an-id")


def test_stations_and_their_streams(up: Up) -> None:
    with tidings.Client(up.target, up.api_key) as client:
        found = client.stations()
    names = {stream.stream for stream in found.streams}
    assert {"in:critical", "out:email:high", "outcomes", "dead:sms"} <= names
    assert {"dispatcher", "ledger", "sender-email"} <= {member.station for member in found.members}
