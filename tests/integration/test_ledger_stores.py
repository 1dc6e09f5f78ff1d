"""Templates, recipients, API keys and the inbox in real PostgreSQL."""

import asyncio
import hashlib

import orjson
import pytest

from core.ids import partition_of
from core.model import Channel, Part, Platform
from ledger import Ledger
from ledger.database import Database
from ledger.inbox import columns
from ledger.sql import load
from ledger.values import (
    InboxItem,
    StoredDevice,
    StoredRecipient,
    StoredTemplate,
    TemplateContent,
    TemplateVariable,
)
from tests.helpers import eventually, psql
from tests.unit.ledger.outcomes import NOW, an_id

WELCOME = StoredTemplate(
    "welcome",
    "en",
    (TemplateVariable("name", True), TemplateVariable("plan", False)),
    (
        TemplateContent(Channel.EMAIL, "en", {Part.SUBJECT: "Hi {{ name }}", Part.HTML: "<p>ä</p>", Part.TEXT: "Hi"}),
        TemplateContent(
            Channel.PUSH, "de-AT", {Part.TITLE: "Servus", Part.BODY: "{{ plan }}", Part.DATA: '{"k": "{{ name }}"}'}
        ),
    ),
)
ADA = StoredRecipient(
    "ada",
    "ada@example.com",
    "+4915112345678",
    (StoredDevice(Platform.FCM, "token-1"), StoredDevice(Platform.APNS, "token-2")),
    "de-AT",
    "Europe/Vienna",
)


# Templates ----------------------------------------------------------------------------------------------------------------


async def test_put_adds_versions_and_never_edits(ledger: Ledger) -> None:
    first = await ledger.templates.put(WELCOME)
    second = await ledger.templates.put(StoredTemplate("welcome", "de", (), ()))
    assert (first.version, second.version) == (1, 2)
    assert first.created_ms > NOW
    assert await ledger.templates.get("welcome", 1) == first
    assert await ledger.templates.get("welcome") == second
    assert first.contents == WELCOME.contents and first.variables == WELCOME.variables


async def test_unknown_templates(ledger: Ledger) -> None:
    await ledger.templates.put(WELCOME)
    assert await ledger.templates.get("nobody") is None
    assert await ledger.templates.get("welcome", 2) is None
    assert await ledger.templates.get("wel\0come") is None


async def test_concurrent_puts_get_versions_of_their_own(ledger: Ledger) -> None:
    stored = await asyncio.gather(*(ledger.templates.put(WELCOME) for _ in range(8)))
    assert sorted(each.version for each in stored) == list(range(1, 9))


async def test_list_has_latest_versions_by_name_without_texts(ledger: Ledger) -> None:
    for name in ("b", "a", "c", "a"):
        await ledger.templates.put(StoredTemplate(name, "en", WELCOME.variables, WELCOME.contents))
    await ledger.templates.put(StoredTemplate("d", "en", (), ()))
    page = await ledger.templates.list(2)
    assert [(t.name, t.version) for t in page] == [("a", 2), ("b", 1)]
    assert [(c.channel, c.language, c.parts) for c in page[0].contents] == [
        (Channel.EMAIL, "en", {}),
        (Channel.PUSH, "de-AT", {}),
    ]
    assert page[0].variables == WELCOME.variables
    assert [t.name for t in await ledger.templates.list(2, page[-1].name)] == ["c", "d"]


async def test_a_text_with_a_nul_is_stored_without_it(ledger: Ledger) -> None:
    odd = StoredTemplate("odd", "en", (), (TemplateContent(Channel.SMS, "en", {Part.TEXT: "a\0b"}),))
    stored = await ledger.templates.put(odd)
    found = await ledger.templates.get("odd", stored.version)
    assert found is not None and found.contents[0].parts[Part.TEXT] == "a\ufffdb"


# Recipients ---------------------------------------------------------------------------------------------------------------


async def test_recipients_are_replaced_whole(ledger: Ledger) -> None:
    stored = await ledger.recipients.upsert(ADA)
    assert stored.updated_ms > NOW
    assert await ledger.recipients.fetch(["ada"]) == {"ada": stored}
    again = await ledger.recipients.upsert(StoredRecipient("ada", phone="+15005550006"))
    assert await ledger.recipients.fetch(["ada"]) == {"ada": again}
    assert again.email == "" and again.devices == ()


async def test_fetch_answers_for_a_batch(ledger: Ledger) -> None:
    for name in ("ada", "bob", "cleo"):
        await ledger.recipients.upsert(StoredRecipient(name))
    assert set(await ledger.recipients.fetch(["bob", "nobody", "ada", "ada", "x\0y", ""])) == {"ada", "bob"}
    assert await ledger.recipients.fetch([]) == {}


async def test_contacts_are_what_a_message_needs(ledger: Ledger) -> None:
    await ledger.recipients.upsert(ADA)
    await ledger.recipients.upsert(StoredRecipient("bob"))
    found = {contact[0]: contact for contact in await ledger.recipients.contacts(["bob", "nobody", "ada", "ada", "x\0y", ""])}
    assert found.keys() == {"ada", "bob"}
    assert found["bob"] == ("bob", "", "", "", "")
    assert type(found["bob"]) is tuple, "of plain tuples of strings the garbage collector keeps no account"
    assert (*found["ada"][1:3], found["ada"][4]) == (ADA.email, ADA.phone, ADA.language)
    assert orjson.loads(found["ada"][3]) == [[device.platform, device.token] for device in ADA.devices]
    assert await ledger.recipients.contacts([]) == []


# API keys -----------------------------------------------------------------------------------------------------------------


async def test_a_key_is_found_until_it_is_revoked(ledger: Ledger) -> None:
    key = await ledger.keys.create("shop", ["send", "read"])
    found = await ledger.keys.find(key)
    assert found is not None
    assert (found.name, found.scopes, found.revoked_ms) == ("shop", frozenset(["send", "read"]), 0)
    assert await ledger.keys.revoke(found.key_id)
    assert await ledger.keys.find(key) is None
    assert not await ledger.keys.revoke(found.key_id)
    (listed,) = await ledger.keys.list()
    assert listed.key_id == found.key_id and listed.revoked_ms >= listed.created_ms


async def test_only_the_hash_of_a_key_is_stored(ledger: Ledger, database_url: str) -> None:
    key = await ledger.keys.create("shop", ["admin"])
    assert key.startswith("tk_") and len(key) > 40
    stored = psql(database_url, "select encode(hash, 'hex'), api_keys from api_keys")
    assert stored.startswith(hashlib.sha256(key.encode()).hexdigest())
    assert key not in stored and key[3:] not in stored


async def test_keys_differ_and_others_are_unknown(ledger: Ledger) -> None:
    one, two = [await ledger.keys.create("twin", ["send"]) for _ in range(2)]
    assert one != two
    for wrong in ("", "tk_", one[:-1], one + "x", one.upper(), "\ud800", "a\0b"):
        assert await ledger.keys.find(wrong) is None


@pytest.mark.parametrize("scopes", [[], ["root"], ["send", "everything"]])
async def test_scopes_are_known_words(ledger: Ledger, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="admin, read, send"):
        await ledger.keys.create("x", scopes)


# Inbox --------------------------------------------------------------------------------------------------------------------


def message(notification: bytes, recipient: str = "ada", title: str = "Hello") -> InboxItem:
    return InboxItem(notification, recipient, "greeting", title, "body", "https://example.com", NOW)


async def test_an_inbox_is_newest_first_and_paged(ledger: Ledger) -> None:
    ids = [an_id(NOW + n) for n in range(5)]
    await ledger.inbox.store([message(i) for i in ids])
    await ledger.inbox.store([message(an_id(), "bob")])
    page = await ledger.inbox.list("ada", limit=2)
    assert [m.notification_id for m in page] == [ids[4], ids[3]]
    assert page[0] == message(ids[4])
    rest = await ledger.inbox.list("ada", before=page[-1].notification_id)
    assert [m.notification_id for m in rest] == ids[2::-1]


async def test_storing_again_changes_nothing(ledger: Ledger) -> None:
    one = an_id()
    await ledger.inbox.store([message(one), message(one)])
    await ledger.inbox.mark_read("ada", [one], NOW + 5)
    await ledger.inbox.store([message(one, title="changed")])
    (only,) = await ledger.inbox.list("ada")
    assert (only.title, only.read_ms) == ("Hello", NOW + 5)
    await ledger.inbox.store([])


async def test_mark_read_says_what_was_unread(ledger: Ledger) -> None:
    ids = [an_id(NOW + n) for n in range(3)]
    await ledger.inbox.store([message(i) for i in ids])
    assert await ledger.inbox.unread("ada") == 3
    assert await ledger.inbox.mark_read("ada", ids[:1], NOW) == ids[:1]
    assert set(await ledger.inbox.mark_read("ada", [*ids[:2], an_id()], NOW + 1)) == {ids[1]}
    assert await ledger.inbox.mark_read("bob", ids, NOW) == []
    assert await ledger.inbox.unread("ada") == 1
    assert [m.notification_id for m in await ledger.inbox.list("ada", unread_only=True)] == [ids[2]]


async def test_after_follows_arrival_and_not_acceptance(ledger: Ledger) -> None:
    early, late, retried = an_id(NOW), an_id(NOW + 1000), an_id(NOW + 500)
    for each in (early, late, retried):
        await ledger.inbox.store([message(each)])
    assert [m.notification_id for m in await ledger.inbox.after("ada", late)] == [retried]
    assert [m.notification_id for m in await ledger.inbox.after("ada", early, limit=1)] == [late]
    assert await ledger.inbox.after("ada", retried) == []
    assert await ledger.inbox.after("nobody", early) == []


async def test_after_an_id_of_another_inbox_starts_where_it_would_stand(ledger: Ledger) -> None:
    first, second = an_id(NOW), an_id(NOW + 1000)
    await ledger.inbox.store([message(first), message(second)])
    assert [m.notification_id for m in await ledger.inbox.after("ada", an_id(NOW + 500))] == [second]
    assert [m.notification_id for m in await ledger.inbox.after("ada", an_id(NOW - 500))] == [first, second]


async def test_what_arrives_later_is_never_seen_earlier(ledger: Ledger, database_url: str) -> None:
    """A reader notes the last message it saw. If a later one could be seen while an earlier one is still being written, the
    reader would never see the earlier one: so the second writer waits for the first."""
    start, slow, quick = an_id(NOW), an_id(NOW + 1), an_id(NOW + 2)
    await ledger.inbox.store([message(start)])
    statements = load("inbox")
    slow_writer = await Database.open(database_url)
    async with slow_writer.transaction() as connection:
        await connection.execute(statements["lock"], {"partitions": [partition_of(slow)]})
        await connection.execute(statements["store"], columns([message(slow)]))
        storing = asyncio.create_task(ledger.inbox.store([message(quick)]))
        await eventually(lambda: psql(database_url, "select count(*) from pg_locks where not granted") == "1")
        assert await ledger.inbox.after("ada", start) == []
    await storing
    assert [m.notification_id for m in await ledger.inbox.after("ada", start)] == [slow, quick]
    await slow_writer.close()
