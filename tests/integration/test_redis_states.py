"""Redis restarted, full and read-only: what is refused, what goes on, and that nothing acknowledged is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core import keys
from core.errors import StoreFull
from core.model import Channel, Priority
from core.store import Store, persist
from core.streams import Append, Settlement, Streams
from fastpath import pack_frame, record
from fastpath.layout import NOTIFICATION
from tests.helpers import eventually
from tidings import embedded

IN = keys.inbound(0, Priority.HIGH)
OUT = keys.outbound(0, Channel.EMAIL, Priority.HIGH)
OUTCOMES = keys.outcomes(0)
FRAME = pack_frame([record(NOTIFICATION, id=bytes(16), type="otp")])


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[tuple[Store, int]]:
    """A Redis of this test's own with an append-only file, and its process id."""
    with embedded.running(embedded.valkey(folder, durable=True), folder.with_suffix(".log")) as url:
        store = await Store.connect(url)
        (info,) = await store.send([["INFO", "server"]])
        fields = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
        try:
            yield store, int(fields["process_id"])
        finally:
            await store.close()


async def test_an_acknowledged_write_outlives_a_killed_redis(tmp_path: Path) -> None:
    async with server(tmp_path / "valkey") as (store, process_id):
        (id_,) = await Streams(store).append([Append(IN, FRAME)])
        os.kill(process_id, signal.SIGKILL)
    async with server(tmp_path / "valkey") as (store, _):
        ((found, _),) = await Streams(store).peek(IN, 0, 2**47, 10)
    assert found == id_


async def test_a_read_only_redis_is_waited_for(tmp_path: Path) -> None:
    async with server(tmp_path / "valkey") as (store, _):
        streams = Streams(store)
        await store.send([["REPLICAOF", "127.0.0.1", embedded.free_port()]])  # demoted by a failover
        with pytest.raises(StoreFull, match="READONLY"):
            await streams.append([Append(IN, FRAME)])
        complaints: list[Exception] = []
        waiting = asyncio.create_task(
            persist(lambda: streams.append([Append(IN, FRAME)]), on_retry=lambda error, _: complaints.append(error))
        )
        await eventually(lambda: bool(complaints))
        await store.send([["REPLICAOF", "NO", "ONE"]])
        assert len(await waiting) == 1
        assert await store.send([["XLEN", IN]]) == [1]


async def test_a_full_redis_refuses_what_is_new_and_senders_and_ledger_still_make_room(tmp_path: Path) -> None:
    async with server(tmp_path / "valkey") as (store, _):
        stations = {}
        for group, stream in ((keys.DISPATCHERS, IN), (keys.SENDERS, OUT), (keys.LEDGERS, OUTCOMES)):
            stations[stream] = await Streams(store, group, "me").open()
            await stations[stream].create_groups([stream])
            await stations[stream].append([Append(stream, FRAME), Append(stream, FRAME)])
        held = {stream: (await station.take([stream], 0, 1))[0] for stream, station in stations.items()}
        await store.send([["CONFIG", "SET", "maxmemory", 1]])
        with pytest.raises(StoreFull, match="OOM"):
            await stations[IN].append([Append(IN, FRAME)])
        with pytest.raises(StoreFull, match="OOM"):  # what is rendered takes more room than it frees; nothing of it is done
            await stations[IN].settle([Settlement(held[IN], (Append(OUT, FRAME),))])
        assert await stations[OUT].settle([Settlement(held[OUT], (Append(OUTCOMES, FRAME),))]) == [True]
        assert await stations[OUTCOMES].settle([Settlement(held[OUTCOMES])]) == [True]
        assert len(await stations[OUT].take([OUT], 0, 1)) == 1  # and reading goes on
        await store.send([["CONFIG", "SET", "maxmemory", 0]])
        assert await stations[IN].settle([Settlement(held[IN], (Append(OUT, FRAME),))]) == [True]
        assert await store.send([["XLEN", IN], ["XLEN", OUT], ["XLEN", OUTCOMES]]) == [1, 2, 2]


async def test_a_connection_to_a_demoted_master_is_given_up(tmp_path: Path) -> None:
    async with server(tmp_path / "valkey") as (store, _):
        (before,) = await store.send([["CLIENT", "ID"]])
        await store.send([["REPLICAOF", "127.0.0.1", embedded.free_port()]])
        with pytest.raises(StoreFull, match="READONLY"):
            await Streams(store).append([Append(IN, FRAME)])
        (after,) = await store.send([["CLIENT", "ID"]])
        assert after != before
