"""The connections to Redis: replies in their places, broken and abandoned connections, bounds."""

import asyncio

import pytest

from core.errors import StoreError, StoreFull, StoreUnavailable
from core.store import Store, translate
from tests.helpers import eventually


async def test_a_refusal_stands_in_its_place_and_the_other_replies_in_theirs(store: Store) -> None:
    first, refused, last = await store.exchange([["SET", "a", "1"], ["INCRBY", "a", "x"], ["GET", "a"]])
    assert (first, last) == (b"OK", b"1")
    assert isinstance(refused, StoreError)
    assert "not an integer" in str(refused)


async def test_no_commands_need_no_connection() -> None:
    assert await Store("redis://127.0.0.1:1/0").exchange([]) == []


async def test_replies_larger_than_one_read_are_put_together(store: Store) -> None:
    text = "x" * 3_000_000
    await store.send([["SET", "large", text]])
    assert await store.send([["GET", "large"], ["STRLEN", "large"]]) == [text.encode(), 3_000_000]


async def test_a_connection_that_died_idle_is_replaced(store: Store, redis_url: str) -> None:
    (own,) = await store.send([["CLIENT", "ID"]])
    other = await Store.connect(redis_url)
    try:
        assert await other.send([["CLIENT", "KILL", "ID", own]]) == [1]
    finally:
        await other.close()

    async def replaced() -> bool:
        try:
            return await store.send([["CLIENT", "ID"]]) != [own]
        except StoreUnavailable:  # its end had not been heard of yet
            return False

    await eventually(replaced, 5.0)


async def test_who_is_not_answered_in_time_is_told_and_its_late_reply_reaches_nobody(store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        await store.send([["BLPOP", "nothing", 1]], read_timeout_s=0.05)
    assert await store.send([["ECHO", "mine"]]) == [b"mine"]


async def test_the_reply_to_a_cancelled_command_reaches_nobody(store: Store) -> None:
    waiting = asyncio.create_task(store.send([["BLPOP", "list", 5]]))
    await asyncio.sleep(0.05)  # it is on its way, whatever the machine does: nothing depends on it
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await store.send([["RPUSH", "list", "late"]])
    assert await store.send([["ECHO", "mine"]]) == [b"mine"]


async def test_more_connections_than_allowed_are_refused_and_then_again_there(redis_url: str) -> None:
    store = Store(redis_url, max_connections=1)
    try:
        waiting = asyncio.create_task(store.send([["BLPOP", "none", "0.2"]]))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="busy"):
            await store.send([["PING"]])
        await waiting
        assert await store.send([["PING"]]) == [b"PONG"]
    finally:
        await store.close()


async def test_a_closed_port_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await Store.connect("redis://127.0.0.1:1/0")


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await Store.connect("redis://redis.invalid:6379/0")  # RFC 6761: never resolves


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreFull),
        ("MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.", StoreFull),
        ("READONLY You can't write against a read only replica.", StoreFull),
        ("LOADING Valkey is loading the dataset in memory", StoreUnavailable),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", StoreUnavailable),
        ("CLUSTERDOWN The cluster is down", StoreUnavailable),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", StoreError),
    ],
)
def test_what_passes_is_told_from_what_is_refused_for_good(words: str, expected: type[StoreError]) -> None:
    assert type(translate(Exception(words))) is expected
