"""Lists of notifications: filters, order, pages, the runs of rows, and that an id or a time bound reads only its days."""

import random
import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from core.ids import time_of
from core.model import Channel, Status
from fastpath import pack_frame
from ledger import Ledger
from ledger.applier import Applier, Frame
from ledger.database import Database
from ledger.deliveries import END, DeliveryStore
from ledger.partitions import Partitions
from ledger.runs import Runs
from ledger.sql import load
from ledger.values import NotificationFilter
from tests.helpers import psql
from tests.unit.ledger.outcomes import DAY_MS, NOW, an_id, queued, told


@pytest.fixture
async def ids(ledger: Ledger) -> list[bytes]:
    """Twelve notifications over three days, newest last: types and recipients take turns; each has an e-mail and an SMS."""
    made = [an_id(NOW - 2 * DAY_MS + n * DAY_MS // 5) for n in range(12)]
    outcomes = []
    for n, one in enumerate(made):
        for channel in (Channel.EMAIL, Channel.SMS):
            outcomes.append(queued(one, channel=channel, type=f"type_{n % 2}", recipient_id=f"user_{n % 3}"))
    await ledger.applier.apply(1, [Frame(f"{NOW}-1", pack_frame(outcomes))])
    await ledger.applier.apply(1, [Frame(f"{NOW}-2", pack_frame([told(made[0], Status.SENT)]))])
    return made


async def listed(ledger: Ledger, wanted: NotificationFilter) -> list[bytes]:
    return [found.notification_id for found in await ledger.deliveries.list(wanted)]


async def test_all_newest_first(ledger: Ledger, ids: list[bytes]) -> None:
    assert await listed(ledger, NotificationFilter()) == ids[::-1]


async def test_by_recipient_by_type_and_by_both(ledger: Ledger, ids: list[bytes]) -> None:
    assert await listed(ledger, NotificationFilter(recipient_id="user_1")) == ids[1::3][::-1]
    assert await listed(ledger, NotificationFilter(type="type_1")) == ids[1::2][::-1]
    assert await listed(ledger, NotificationFilter(recipient_id="user_1", type="type_1")) == ids[1::6][::-1]
    assert await listed(ledger, NotificationFilter(recipient_id="nobody")) == []
    assert await listed(ledger, NotificationFilter(type="no\0type")) == []


async def test_between_times(ledger: Ledger, ids: list[bytes]) -> None:
    after, before = NOW - 2 * DAY_MS + 3 * DAY_MS // 5, NOW - 2 * DAY_MS + 7 * DAY_MS // 5
    assert await listed(ledger, NotificationFilter(after_ms=after, before_ms=before)) == ids[3:7][::-1]
    assert await listed(ledger, NotificationFilter(type="type_0", after_ms=after)) == ids[4::2][::-1]


async def test_pages_follow_each_other(ledger: Ledger, ids: list[bytes]) -> None:
    pages: list[bytes] = []
    while page := await listed(ledger, NotificationFilter(limit=5, before_id=pages[-1] if pages else b"")):
        pages += page
    assert pages == ids[::-1]


async def test_a_page_counts_notifications_and_has_all_their_deliveries(ledger: Ledger, ids: list[bytes]) -> None:
    found = await ledger.deliveries.list(NotificationFilter(limit=3))
    assert [[d.channel for d in each.deliveries] for each in found] == [[Channel.EMAIL, Channel.SMS]] * 3
    oldest = (await ledger.deliveries.list(NotificationFilter(before_id=ids[1])))[0]
    assert [d.status for d in oldest.deliveries] == [Status.SENT, Status.QUEUED]


async def test_an_unknown_id(ledger: Ledger, ids: list[bytes]) -> None:
    assert await ledger.deliveries.get(an_id(NOW - 300 * DAY_MS)) is None
    assert await ledger.deliveries.get(an_id(NOW)) is None


def test_a_look_up_by_id_reads_one_day(database_url: str) -> None:
    psql(database_url, "select make_day(day::date) from generate_series('2023-11-01'::date, '2023-11-20', '1 day') as day")
    one = an_id(NOW).hex()
    plan = psql(database_url, f"explain select * from deliveries where notification_id = any(array['{one}'::uuid])")
    assert set(re.findall(r"deliveries_\d{8}", plan)) == {"deliveries_20231114"}


def test_sql_can_ask_by_time_and_reads_only_those_days(database_url: str) -> None:
    psql(database_url, "select make_day(day::date) from generate_series('2023-11-01'::date, '2023-11-20', '1 day') as day")
    plan = psql(
        database_url,
        "explain select count(*) from deliveries where notification_id >= first_id('2023-11-18Z')"
        " and notification_id < first_id('2023-11-19Z')",
    )
    assert set(re.findall(r"deliveries_\d{8}", plan)) == {"deliveries_20231118"}


def test_lists_by_type_read_no_more_moments_than_they_must(database_url: str) -> None:
    """A day of 40,000 rows, eight in each moment of 256 ms, every second of the type."""
    psql(database_url, "select make_day(day::date) from generate_series('2023-11-10'::date, '2023-11-20', '1 day') as day")
    psql(
        database_url,
        "insert into deliveries select id, now(), now(), 1, 1, 0, 3, 1, 5, 1, 0, null, 'type_' || n % 2, 'ada', '', '',"
        " '', '', '', null, 1 from generate_series(1, 40000) as n,"
        " lateral (select overlay(first_id('2023-11-13 06:00Z'::timestamptz + n * interval '32 ms')::text"
        " placing lpad(to_hex(n), 12, '0') from 25)::uuid) as made (id); analyze deliveries_20231113",  # as autovacuum does
    )
    hour = {"first": "first_id('2023-11-13 05:00Z')", "end": "first_id('2023-11-13 06:10Z')"}
    query = load("deliveries")["list_by_type"].decode() % {"type": "'type_1'", "limit": "150", **hour}
    plan = psql(database_url, f"explain (analyze, costs off, timing off, summary off) {query}")
    (walked,) = re.findall(r"Index Scan Backward using \w+ on deliveries_20231113.*rows=(\d+).*\n\s*Index Cond: (.*)", plan)
    assert 150 <= float(walked[0]) < 300
    assert "hashtext(type) = " in walked[1] and walked[1].count("substr(") == 2


def test_a_list_of_everything_reads_no_more_rows_than_it_must(database_url: str) -> None:
    psql(database_url, "select make_day(day::date) from generate_series('2023-11-10'::date, '2023-11-20', '1 day') as day")
    psql(
        database_url,
        "insert into deliveries select id, now(), now(), 1, 1, 0, 3, 1, 5, 1, 0, null, 'x', 'ada', '', '', '', '', '', null, 1"
        " from generate_series(1, 40000) as n, lateral (select overlay(first_id('2023-11-13 06:00Z')::text"
        " placing lpad(to_hex(n), 12, '0') from 25)::uuid) as made (id); analyze deliveries_20231113",
    )
    day = {"first": "first_id('2023-11-13Z')", "end": "first_id('2023-11-14Z')"}
    query = load("deliveries")["list_all"].decode() % {"limit": "150", **day}
    plan = psql(database_url, f"explain (analyze, costs off, timing off, summary off) {query}")
    (walked,) = re.findall(r"Scan Backward using \w+ on deliveries_20231113.*rows=(\d+)", plan)
    assert float(walked) == 150


@pytest.mark.parametrize("by", [{}, {"type": "t"}, {"recipient_id": "ada"}])
async def test_a_page_is_full_however_many_rows_a_notification_has(ledger: Ledger, by: dict[str, str]) -> None:
    made = [an_id(NOW + n * DAY_MS // 5) for n in range(10)]
    outcomes = [queued(id_, channel=Channel.PUSH, device=n, type="t") for id_ in made for n in range(7)]
    await ledger.applier.apply(1, [Frame(f"{NOW}-1", pack_frame(outcomes))])
    for limit in (1, 2, 7, 8, 10, 11):
        assert await listed(ledger, NotificationFilter(limit=limit, **by)) == made[::-1][:limit]  # type: ignore[arg-type]
    assert await listed(ledger, NotificationFilter(limit=2, before_id=made[5], **by)) == [made[4], made[3]]  # type: ignore[arg-type]


async def test_lists_are_planned_for_their_bounds(ledger: Ledger, ids: list[bytes], database_url: str) -> None:
    """A prepared statement may get a plan for any bounds: by type, that reads a whole day."""
    database = await Database.open(database_url)
    store = DeliveryStore(database)
    for _ in range(40):  # the pool's connections take turns; each has prepared what it was given often
        assert len(await store.list(NotificationFilter(type="type_1"))) == 6
    prepared = [text for (text,) in await database.fetch(b"select statement from pg_prepared_statements")]
    await database.close()
    assert any("pg_inherits" in text for text in prepared)
    assert not any("notification_id desc" in text for text in prepared)


async def test_types_of_one_hash_are_told_apart(ledger: Ledger, database_url: str) -> None:
    one, other = "type_23217", "type_73423"
    assert psql(database_url, f"select hashtext('{one}') = hashtext('{other}')") == "t"
    made = [an_id(NOW + n) for n in range(4)]
    outcomes = [queued(id_, type=(one, other)[n % 2]) for n, id_ in enumerate(made)]
    await ledger.applier.apply(1, [Frame(f"{NOW}-1", pack_frame(outcomes))])
    assert await listed(ledger, NotificationFilter(type=one)) == made[2::-2]


async def test_notifications_of_one_moment_are_listed_in_their_order(ledger: Ledger) -> None:
    made = [an_id(NOW - NOW % 256 + ms) for ms in (0, 100, 200, 255, 256)]
    order = random.Random(2).sample(made, 5)
    await ledger.applier.apply(1, [Frame(f"{NOW}-1", pack_frame([queued(id_, type="t") for id_ in order]))])
    assert await listed(ledger, NotificationFilter(type="t")) == made[::-1]
    assert await listed(ledger, NotificationFilter(type="t", limit=3)) == made[:-4:-1]
    assert await listed(ledger, NotificationFilter(type="t", limit=3, before_id=made[3])) == made[2::-1]
    some = NotificationFilter(type="t", after_ms=time_of(made[1]), before_ms=time_of(made[3]))
    assert await listed(ledger, some) == made[2:0:-1]


@pytest.fixture
async def runs(ledger: Ledger, database_url: str) -> AsyncIterator[list[bytes]]:
    """Forty notifications over two days, the oldest first, for two recipients; written shuffled, in runs of three rows."""
    made = [an_id(NOW - 39 * DAY_MS // 20 + n * DAY_MS // 20) for n in range(40)]
    database = await Database.open(database_url)
    applier = Applier(database, Partitions(database), Runs(database, 3))
    for at, n in enumerate(random.Random(1).sample(range(40), 40)):
        outcome = queued(made[n], recipient_id=f"user_{n % 2}")
        await applier.apply(1, [Frame(f"{NOW}-{at}", pack_frame([outcome]))])
    yield made
    await database.close()


async def test_a_recipients_list_is_put_together_from_all_runs(ledger: Ledger, runs: list[bytes], database_url: str) -> None:
    assert psql(database_url, "select count(distinct run), max(counted) from "
                "(select run, count(*) as counted from deliveries group by run) as rows") == "14|3"  # fmt: skip
    assert await listed(ledger, NotificationFilter(recipient_id="user_1")) == runs[1::2][::-1]
    assert await listed(ledger, NotificationFilter(recipient_id="user_1", limit=7)) == runs[1::2][:-8:-1]
    assert await listed(ledger, NotificationFilter(recipient_id="user_1", limit=15)) == runs[1::2][:-16:-1]  # over two days
    assert await listed(ledger, NotificationFilter(recipient_id="user_1", before_id=runs[21])) == runs[1:21:2][::-1]
    some = NotificationFilter(recipient_id="user_0", after_ms=time_of(runs[15]), before_ms=time_of(runs[30]))
    assert await listed(ledger, some) == runs[16:30:2][::-1]


async def test_rows_from_before_there_were_runs_are_listed_too(ledger: Ledger, ids: list[bytes], database_url: str) -> None:
    psql(database_url, "update deliveries set run = 0 where channel = 1")
    assert await listed(ledger, NotificationFilter(recipient_id="user_1")) == ids[1::3][::-1]


async def test_a_process_writes_runs_of_its_own(ledger: Ledger, database_url: str) -> None:
    other = await Ledger.open(database_url)
    for writer, at in ((ledger, 1), (other, 2), (ledger, 3)):
        await writer.applier.apply(1, [Frame(f"{NOW}-{at}", pack_frame([queued(an_id(NOW + at))]))])
    await other.close()
    assert psql(database_url, "select array_agg(run order by notification_id) from deliveries") == "{1,2,1}"


def test_a_recipients_list_steps_from_run_to_run_and_reads_his_rows_of_one_day(database_url: str) -> None:
    psql(database_url, "select make_day(day::date) from generate_series('2023-11-10'::date, '2023-11-20', '1 day') as day")
    psql(
        database_url,
        "insert into deliveries select id, now(), now(), 1, 1, 0, 3, 1, 5, 1, 0, null, 'x', 'user_' || n % 1000, '', '',"
        " '', '', '', null, n / 5000 from generate_series(1, 20000) as n,"
        " lateral (select overlay(first_id('2023-11-13 06:00Z')::text"
        " placing lpad(to_hex(n), 12, '0') from 25)::uuid) as made (id); analyze deliveries_20231113",
    )
    day = {"lower": "first_id('2023-11-13Z')", "upper": "first_id('2023-11-14Z')"}
    hour = {"first": "first_id('2023-11-13 05:00Z')", "end": "first_id('2023-11-13 07:00Z')"}
    wanted = {"recipient_id": "'user_7'", "type": "''", "limit": "50"}
    plan = psql(
        database_url,
        "explain (analyze, costs off, timing off) "
        + load("deliveries")["list_by_recipient"].decode() % {**wanted, **day, **hour},
    )
    assert set(re.findall(r"on (deliveries_\d{8})", plan)) == {"deliveries_20231113"}
    assert "Seq Scan" not in plan
    conditions = re.findall(r"Index Cond: (.*)", plan)
    assert any("run > " in condition for condition in conditions)  # a step to the next run
    assert any("run = " in condition and "hashtext(recipient_id) = " in condition for condition in conditions)


async def test_days_are_told_newest_first_with_their_bounds(ledger: Ledger, database_url: str) -> None:
    psql(database_url, "select make_day('2023-11-13'), make_day('2023-11-14')")
    database = await Database.open(database_url)
    everything = await database.fetch(load("deliveries")["days"], {"first": UUID(int=0), "end": END})
    first, end = UUID(int=(NOW - 1) << 80), UUID(int=NOW << 80)
    (one,) = await database.fetch(load("deliveries")["days"], {"first": first, "end": end})
    await database.close()
    assert everything[0][1] == END and everything[-1][0] == UUID(int=0)
    assert [upper for _, upper in everything[1:]] <= [lower for lower, _ in everything[:-1]]
    assert one in everything and one[0] <= first < end <= one[1]
