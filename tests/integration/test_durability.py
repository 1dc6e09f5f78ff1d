"""A critical write is answered when it is as safe as asked for, and not before."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core import keys
from core.durability import Durability, check, required
from core.errors import ConfigError, StoreUnavailable
from core.model import Priority
from core.store import Store
from core.streams import Append, Streams
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


def test_memory_is_enough_unless_asked_otherwise() -> None:
    assert required(fsync=False, replicas=0) is None
    assert required(fsync=True, replicas=2) == Durability(True, 2)
