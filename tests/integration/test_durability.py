"""A critical write is answered when it is as safe as asked for, and not before."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from core import keys
from core.durability import Durability, check, required, warn
from core.errors import ConfigError, StoreUnavailable
from core.model import Priority
from core.process import Context
from core.settings import Settings
from core.store import Store
from core.streams import Append, Streams
from gateway.__main__ import build
from ledger import Ledger
from tests.integration.gateway_kit import gateway, notification
from tidings import embedded

STREAM = keys.inbound(0, Priority.CRITICAL)


@pytest.fixture
async def durable_store(server_folder: Path) -> AsyncIterator[Store]:
    """A Redis with an append-only file."""
    folder = server_folder / "durable"
    with embedded.running(embedded.valkey(folder, durable=True), server_folder / "durable.log") as url:
        store = await Store.connect(url)
        yield store
        await store.close()


async def test_a_write_waits_for_the_disk(durable_store: Store) -> None:
    await check(durable_store, Durability(fsync=True))
    ids = await Streams(durable_store).append([Append(STREAM, b"one"), Append(STREAM, b"two")], Durability(fsync=True))
    assert len(ids) == 2


async def test_missing_replicas_are_no_ok(durable_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.durability.TIMEOUT_MS", 10)
    for durability in (Durability(replicas=1), Durability(fsync=True, replicas=1)):
        with pytest.raises(StoreUnavailable, match="replicas"):
            await Streams(durable_store).append([Append(STREAM, b"one")], durability)


async def test_a_server_without_an_append_only_file_is_refused_at_start(store: Store) -> None:
    with pytest.raises(ConfigError, match="appendonly"):
        await check(store, Durability(fsync=True))
    await check(store, required(fsync=False, replicas=0))


async def test_a_disk_that_does_not_answer_in_time_is_no_ok(durable_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.durability.TIMEOUT_MS", 10)
    await durable_store.send([["CONFIG", "SET", "appendfsync", "no"]])  # nobody knows when the kernel will write
    with pytest.raises(StoreUnavailable, match="disk 0"):
        await Streams(durable_store).append([Append(STREAM, b"one")], Durability(fsync=True))


async def test_the_gateway_waits_for_critical_ones_and_for_no_others(
    settings: Settings, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.durability.TIMEOUT_MS", 10)
    async with gateway(settings.model_copy(update={"critical_replicas": 1}), store, ledger) as door:  # there is no replica
        await door.put()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await door.send(notification(priority=Priority.CRITICAL))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert (await door.send(notification(priority=Priority.HIGH))).notification_id


async def test_a_gateway_that_cannot_give_what_is_asked_for_does_not_start(settings: Settings, store: Store) -> None:
    with pytest.raises(ConfigError, match="appendonly"):
        async with build(Context(settings.model_copy(update={"critical_fsync": True}), store)):
            pass


async def test_settings_that_lose_notifications_are_told(
    settings: Settings, durable_store: Store, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """As deploy/redis.conf has it nothing is said; what differs is named with what comes of it."""
    await warn(durable_store)
    assert caplog.messages == []
    await durable_store.send([["CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "lazyfree-lazy-expire", "no"]])
    async with gateway(settings, durable_store, ledger):
        pass
    told = [message for message in caplog.messages if message.startswith("Redis has")]
    assert [message.split(":")[0] for message in told] == [
        "Redis has maxmemory-policy allkeys-lru",
        "Redis has lazyfree-lazy-expire no",
    ]
    assert told[0].endswith("Set it to noeviction")


async def test_a_redis_that_keeps_its_settings_to_itself_is_taken_as_it_is(
    durable_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await durable_store.send([["ACL", "SETUSER", "default", "-config"]])
    with caplog.at_level("INFO"):
        await warn(durable_store)
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_memory_is_enough_unless_asked_otherwise() -> None:
    assert required(fsync=False, replicas=0) is None
    assert required(fsync=True, replicas=2) == Durability(True, 2)
