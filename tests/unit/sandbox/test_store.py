"""What arrived: bounded memory, filters, counts, watchers; and ids read out of what providers are sent."""

from core.ids import format_id, new_id
from core.model import Channel
from core.signing import sign_receipt
from tidings.sandbox.phone import read_unverified
from tidings.sandbox.smtp import delivery_of
from tidings.sandbox.store import Message, Query, Store


def message(n: int, **changes: object) -> Message:
    made = Message("twilio", "sms", f"+49{n}", "+1", f"id-{n}", f"SM{n}", at_ms=n, text=f"text {n}")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def seqs(store: Store, query: Query) -> list[int]:
    return [m.seq for m in store.find(query)]


def test_the_oldest_leave_first_and_the_counts_stay() -> None:
    store = Store(max_messages=3)
    for n in range(1, 6):
        store.add(message(n))
    assert seqs(store, Query()) == [3, 4, 5]
    assert store.get(2) is None and store.get(6) is None
    found = store.get(4)
    assert found is not None and found.to == "+494"
    assert len(dict(store.counts())) == 5
    assert store.state() == {"seq": 5, "kept": 3, "first": 3, "totals": {"twilio": 5}, "refused": {}}


def test_bytes_are_bounded_too_but_one_message_is_always_kept() -> None:
    store = Store(max_bytes=3_200)
    for n in range(3):
        store.add(message(n, html="x" * 1_000))
    assert seqs(store, Query()) == [2, 3]
    store.add(message(9, html="x" * 10_000))
    assert seqs(store, Query()) == [4]


def test_filters_page_and_limit() -> None:
    store = Store()
    for n in range(1, 9):
        store.add(message(n, provider="fcm" if n % 2 else "twilio", channel="push" if n % 2 else "sms"))
    assert seqs(store, Query(provider="fcm")) == [1, 3, 5, 7]
    assert seqs(store, Query(channel="sms", limit=2)) == [6, 8]  # the newest
    assert seqs(store, Query(channel="sms", after=2, limit=2)) == [4, 6]  # the next ones
    assert seqs(store, Query(to="+495")) == [5]
    assert seqs(store, Query(notification_id="id-3")) == [3]


def test_every_arrival_is_counted_by_provider_and_device() -> None:
    store = Store(max_counted=2)
    for device in (0, 0, 1):
        store.add(message(1, device=device))
    store.add(message(1, provider="smtp"))
    assert dict(store.counts()) == {"id-1": {"twilio/0": 2, "twilio/1": 1, "smtp/0": 1}}
    assert dict(store.counts("smtp")) == {"id-1": {"smtp/0": 1}}
    store.add(message(2))
    store.add(message(3))
    assert list(dict(store.counts())) == ["id-2", "id-3"]


async def test_a_watcher_hears_of_what_is_new_and_what_changed() -> None:
    store = Store()
    first = store.add(message(1))
    news = store.watch()
    assert [m["seq"] for m in (await anext(news))["messages"]] == [1]
    store.add(message(2))
    assert [m["seq"] for m in (await anext(news))["messages"]] == [2]
    store.note(first, "delivered", 5)
    (changed,) = (await anext(news))["messages"]
    assert changed["events"] == [{"event": "delivered", "at_ms": 5}]
    store.clear()
    assert (await anext(news))["state"]["kept"] == 0
    store.close()
    assert [told async for told in news] in ([], [{"state": store.state(), "messages": []}])


def test_ids_are_read_as_the_senders_write_them() -> None:
    id_ = new_id(3, 1, 1_800_000_000_000)
    assert read_unverified(sign_receipt("secret-secret-secret", id_, Channel.PUSH, 2)) == (format_id(id_), 2)
    assert read_unverified("no token") == ("", 0)
    assert read_unverified("a.!!!.c") == ("", 0)
    assert delivery_of(f"<{format_id(id_)}.1@shop.example>") == (format_id(id_), 1)
    assert delivery_of("<abc@shop.example>") == ("", 0)
