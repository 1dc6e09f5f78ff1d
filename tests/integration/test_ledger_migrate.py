"""Opening and migrating: many at once, killed in the middle, edited, ahead; and what is wrong is told in words."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import LedgerError, LedgerUnavailable
from ledger import Ledger
from ledger.migrate import Migration, migrate, migrations
from tests.helpers import eventually, psql, with_database

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    name = "tidings_unmigrated"
    psql(postgres_server, f"create database {name}")
    yield with_database(postgres_server, name)
    psql(postgres_server, f"drop database {name} with (force)")


async def test_open_tells_what_is_wrong(postgres_server: str, empty_database: str) -> None:
    with pytest.raises(LedgerUnavailable, match="refused"):
        await Ledger.open("postgresql://tidings@127.0.0.1:1/tidings")
    with pytest.raises(LedgerUnavailable, match="does not exist"):
        await Ledger.open(with_database(postgres_server, "no_such_database"))
    with pytest.raises(LedgerError, match=r"0001_.*tidings migrate") as lacking:
        await Ledger.open(empty_database)
    assert not isinstance(lacking.value, LedgerUnavailable)


async def test_many_processes_migrate_at_once(empty_database: str) -> None:
    await asyncio.gather(*(migrate(empty_database) for _ in range(6)))
    await migrate(empty_database)
    ledger = await Ledger.open(empty_database, migrate=True)
    assert psql(empty_database, "select count(*), min(number) from migrations").split("|")[1] == "1"
    await ledger.close()


async def test_a_migration_killed_in_the_middle_does_not_block_the_next(empty_database: str) -> None:
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, sys\nfrom ledger import migrate\n"
        "class Slow(migrate.Migration): pass\n"
        "real = migrate.migrations()\n"
        "migrate.migrations = lambda: [*real, migrate.Migration(9999, 'slow.sql', b'select pg_sleep(60)')]\n"
        f"asyncio.run(migrate.migrate({empty_database!r}))",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    await eventually(
        lambda: "pg_sleep" in psql(empty_database, "select query from pg_stat_activity where wait_event = 'PgSleep'")
    )
    waiting = asyncio.create_task(migrate(empty_database))
    await eventually(lambda: psql(empty_database, "select count(*) from pg_locks where not granted") == "1")
    victim.kill()
    await victim.wait()
    # The server notices the dead client at the end of the statement; an operator, or TCP, may be quicker.
    psql(empty_database, "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
    await asyncio.wait_for(waiting, 20)
    assert psql(empty_database, "select count(*) from migrations where number = 9999") == "0"


async def test_an_index_that_was_made_beforehand_is_taken_over(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/operations.md has it done, day by day and with nobody held up."""
    every = migrations()
    monkeypatch.setattr("ledger.migrate.migrations", lambda: [one for one in every if one.number < 6])
    await migrate(empty_database)
    psql(empty_database, "select make_day('2026-11-27')")
    (statement,) = re.findall(r"^    (create index concurrently .*);$", OPERATIONS.read_text(), re.MULTILINE)
    psql(empty_database, statement)
    psql(empty_database, "select make_day('2026-11-28')")
    indexes = (
        "select oid from pg_class where relkind = 'i' and oid in (select indexrelid from pg_index where indrelid = "
        "'deliveries_20261127'::regclass and pg_get_indexdef(indexrelid) like '%substr%')"
    )
    beforehand = psql(empty_database, indexes)
    monkeypatch.setattr("ledger.migrate.migrations", lambda: every)
    await migrate(empty_database)
    assert psql(empty_database, indexes) == beforehand != "", "no second one"
    parent = f"select inhparent::regclass from pg_inherits where inhrelid = {beforehand}"
    assert psql(empty_database, parent) == "deliveries_by_type"


async def test_days_that_were_made_before_are_sampled_little_too(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    every = migrations()
    monkeypatch.setattr("ledger.migrate.migrations", lambda: [one for one in every if one.number < 7])
    await migrate(empty_database)
    psql(empty_database, "select make_day('2026-11-27')")
    monkeypatch.setattr("ledger.migrate.migrations", lambda: every)
    await migrate(empty_database)
    psql(empty_database, "select make_day('2026-11-28')")
    targets = (
        "select attrelid::regclass, attname, attstattarget from pg_attribute where attnum > 0 and attrelid in "
        "(select '{0}'::regclass union select indexrelid from pg_index where indrelid = '{0}'::regclass) order by 1, 2"
    )
    for parent in ("deliveries", "events"):
        before, after = (psql(empty_database, targets.format(f"{parent}_{day}")) for day in ("20261127", "20261128"))
        assert before.replace("20261127", "20261128") == after
        assert after.count("|10") >= 16


async def test_one_that_takes_too_long_says_how_long_it_had(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.migrate.migrations", lambda: [Migration(1, "0001_slow.sql", b"select pg_sleep(60)")])
    monkeypatch.setattr("ledger.migrate.MIGRATE_S", 1.0)
    with pytest.raises(LedgerUnavailable, match="within 1 s"):
        await migrate(empty_database)


async def test_an_edited_migration_is_refused(database_url: str) -> None:
    psql(database_url, "update migrations set digest = 'other' where number = 1")
    with pytest.raises(LedgerError, match=r"0001_.* was edited"):
        await migrate(database_url)


async def test_a_database_ahead_of_this_program_is_fine(database_url: str) -> None:
    psql(database_url, "insert into migrations (number, name, digest) values (9999, '9999_later.sql', 'x')")
    await migrate(database_url)
    await (await Ledger.open(database_url)).close()
