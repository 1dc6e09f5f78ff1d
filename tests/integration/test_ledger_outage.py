"""PostgreSQL restarted, frozen, locked and killed under the ledger: calls end, say so in tidings' words, and come back."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from core.errors import LedgerUnavailable
from core.model import Status
from core.store import Store
from fastpath import pack_frame
from fastpath.outcomes import Tally
from ledger import Ledger, database
from ledger.applier import Frame
from tests.helpers import eventually, psql
from tests.integration.test_ledger_station import drained, left, report, running
from tests.unit.ledger.outcomes import NOW, an_id, queued, told
from tidings import embedded

T = TypeVar("T")


@pytest.fixture
def server(server_folder: Path, request: pytest.FixtureRequest) -> embedded.Recipe:
    """A PostgreSQL of the test's own, not yet started; the same recipe starts it again where it was."""
    return embedded.postgres(server_folder / request.node.name, durable=True)


@pytest.fixture
def log(server_folder: Path, request: pytest.FixtureRequest) -> Path:
    return server_folder / f"{request.node.name}.log"


async def persistently(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What `call` returns as soon as PostgreSQL is there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await call()
        except LedgerUnavailable:
            assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def applied(url: str) -> str:
    return psql(url, "select (select count(*) from deliveries), (select count(*) from events), (select count(*) from applied)")


async def test_a_restart_in_the_middle_loses_and_doubles_nothing(server: embedded.Recipe, log: Path) -> None:
    ids = [an_id(NOW + n) for n in range(400)]
    frames = [Frame(f"{NOW}-{n}", pack_frame([queued(i), told(i, Status.SENT)])) for n, i in enumerate(ids)]
    failures: list[LedgerUnavailable] = []

    async def apply_all(ledger: Ledger) -> None:
        for frame in frames:
            while True:
                try:
                    await ledger.applier.apply(1, [frame])
                    break
                except LedgerUnavailable as error:
                    failures.append(error)
                    await asyncio.sleep(0.02)

    with embedded.running(server, log):
        ledger = await Ledger.open(server.url, migrate=True)
        applying = asyncio.create_task(apply_all(ledger))
        await eventually(lambda: int(applied(server.url).split("|")[0]) > 20)
    await eventually(lambda: failures)
    assert not applying.done()
    with embedded.running(server, log):
        await asyncio.wait_for(applying, 30)
        assert applied(server.url) == f"{len(ids)}|0|{len(ids)}"
        assert all(error.__cause__ is not None for error in failures)
        await ledger.close()


async def test_the_first_call_after_a_restart_succeeds(server: embedded.Recipe, log: Path) -> None:
    """Connections that died while nobody used them are not handed out."""
    with embedded.running(server, log):
        ledger = await Ledger.open(server.url, migrate=True)
        await asyncio.gather(*(ledger.keys.list() for _ in range(8)))
    with embedded.running(server, log):
        assert await ledger.keys.list() == []
        await ledger.close()


async def test_it_comes_back_after_a_long_absence(server: embedded.Recipe, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool has given up by itself meanwhile: the next call must make it try again."""
    monkeypatch.setattr(database, "WAIT_S", 0.5)
    monkeypatch.setattr(database, "RECONNECT_S", 0.2)
    with embedded.running(server, log):
        ledger = await Ledger.open(server.url, migrate=True)
        await ledger.keys.list()
    for _ in range(6):
        with pytest.raises(LedgerUnavailable):
            await ledger.keys.list()
    with embedded.running(server, log):
        assert await persistently(ledger.keys.list, 5) == []
        await ledger.close()


async def test_outcomes_wait_in_redis_and_the_ledger_catches_up(
    server: embedded.Recipe, log: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAIT_S", 0.2)
    monkeypatch.setattr(database, "RECONNECT_S", 0.2)
    with embedded.running(server, log):
        ledger = await Ledger.open(server.url, migrate=True)
    refused: list[LedgerUnavailable] = []
    honest = ledger.applier.apply

    async def apply(partition: int, frames: Sequence[Frame]) -> Tally:
        try:
            return await honest(partition, frames)
        except LedgerUnavailable as error:
            refused.append(error)
            raise

    monkeypatch.setattr(ledger.applier, "apply", apply)
    ids = [an_id(NOW + n) for n in range(50)]
    async with running(store, ledger, poison_limit=1):  # an outage is no poison, however long it lasts
        await report(store, 0, *([queued(i)] for i in ids), *([told(i, Status.SENT)] for i in ids))
        await eventually(lambda: len(refused) > 2, 20)
        assert await left(store) == 100
        with embedded.running(server, log):
            await eventually(lambda: drained(store), 30)
            assert psql(server.url, "select count(*) from applied") == "100"
            found = [await ledger.deliveries.get(i) for i in ids]
            await ledger.close()
    assert [delivery.status for each in found if each for delivery in each.deliveries] == [Status.SENT] * 50


@asynccontextmanager
async def frozen(url: str) -> AsyncIterator[None]:
    """The server and our connections are there and do not answer, as behind a network that swallows everything."""
    backends = psql(url, "select pid from pg_stat_activity where application_name = 'tidings'").split()
    postmaster = psql(url, "select split_part(pg_read_file('postmaster.pid'), chr(10), 1)")
    pids = [int(pid) for pid in (*backends, postmaster)]
    try:
        for pid in pids:
            with suppress(ProcessLookupError):  # of the connection that tried the address: it was closed, and ends now
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def test_a_server_that_does_not_answer(server: embedded.Recipe, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame(f"{NOW}-1", pack_frame([queued(an_id())]))
    with embedded.running(server, log):
        ledger = await Ledger.open(server.url, migrate=True)
        await ledger.keys.list()
        monkeypatch.setattr(database, "CALL_S", 0.5)
        async with frozen(server.url), asyncio.timeout(8):
            with pytest.raises(LedgerUnavailable, match="did not answer"):
                await ledger.keys.list()
            with pytest.raises(LedgerUnavailable):
                await ledger.applier.apply(1, [frame])
        monkeypatch.undo()
        await persistently(lambda: ledger.applier.apply(1, [frame]), 20)
        assert applied(server.url) == "1|0|1"
        await ledger.close()


@pytest.fixture
async def impatient(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ledger]:
    monkeypatch.setattr(database, "STATEMENT_MS", 200)
    opened = await Ledger.open(database_url)
    yield opened
    await opened.close()


async def test_a_statement_that_takes_too_long_is_given_up(impatient: Ledger, database_url: str) -> None:
    locker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import psycopg, sys, time\n"
        f"c = psycopg.connect({database_url!r}); c.execute('lock table deliveries in exclusive mode')\n"
        "print('locked', flush=True); sys.stdin.read()",
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.PIPE,
    )
    assert locker.stdout is not None and locker.stdin is not None
    await locker.stdout.readline()
    frame = Frame(f"{NOW}-1", pack_frame([queued(an_id())]))
    with pytest.raises(LedgerUnavailable, match="statement timeout"):
        await impatient.applier.apply(1, [frame])
    locker.stdin.close()
    await locker.wait()
    await impatient.applier.apply(1, [frame])
    assert applied(database_url) == "1|0|1"


async def test_killed_backends(ledger: Ledger, database_url: str) -> None:
    frames = [Frame(f"{NOW}-{n}", pack_frame([queued(an_id())])) for n in range(200)]
    failed: list[BaseException] = []

    async def apply(frame: Frame) -> None:
        while True:
            try:
                await ledger.applier.apply(1, [frame])
                return
            except LedgerUnavailable as error:
                failed.append(error)

    async def kill() -> None:
        while not failed:
            await asyncio.to_thread(
                psql,
                database_url,
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'tidings' and datname = current_database()",
            )

    killing = asyncio.create_task(kill())
    for start in range(0, len(frames), 4):
        await asyncio.gather(*map(apply, frames[start : start + 4]))
    killing.cancel()
    await asyncio.gather(killing, return_exceptions=True)
    assert applied(database_url) == "200|0|200"
