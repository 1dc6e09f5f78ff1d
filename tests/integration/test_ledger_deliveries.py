"""Lists of notifications: filters, order, pages, and that an id or a time bound reads only its days."""

import re

import pytest

from core.model import Channel, Status
from fastpath import pack_frame
from ledger import Ledger
from ledger.applier import Frame
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


WALKED = re.compile(r"Index Scan Backward using \w+ on (deliveries_\d{8}).*\n\s*Index Cond: (.*)\n\s*Filter: (.*)")


@pytest.mark.parametrize("column", ["recipient_id", "type"])
def test_lists_walk_an_index_newest_day_first(database_url: str, column: str) -> None:
    psql(
        database_url,
        "select make_day(day::date) from generate_series('2023-11-10'::date, '2023-11-20', '1 day') as day",
    )
    bounds = {"first": "first_id('2023-11-13Z')", "end": "first_id('2023-11-16Z')", "limit": "50"}
    query = load("deliveries")[f"list_by_{column.removesuffix('_id')}"].decode() % {
        "recipient_id": "'x'",
        "type": "'x'",
        **bounds,
    }
    plan = psql(database_url, f"set enable_seqscan = off; set enable_sort = off; explain {query}")
    assert "Sort" not in plan
    walked = WALKED.findall(plan)
    assert [day for day, _, _ in walked] == ["deliveries_20231115", "deliveries_20231114", "deliveries_20231113"]
    for _, condition, check in walked:  # found by the hash, told from others of that hash by the word
        assert f"hashtextextended({column}" in condition and f"{column} = 'x'" in check
