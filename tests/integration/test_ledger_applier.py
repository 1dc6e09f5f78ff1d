"""Applying outcomes to real PostgreSQL: once each, in any order, by several appliers at once, on any day."""

import asyncio
import itertools
import random

import pytest

from core.errors import LedgerError, LedgerUnavailable
from core.ids import format_id
from core.model import Channel, Class, Priority, Station, Status
from fastpath import FrameError, Record, pack_frame
from ledger import Ledger
from ledger.applier import Frame
from ledger.values import StoredNotification, Verdict
from tests.helpers import psql
from tests.unit.ledger.outcomes import DAY_MS, NOW, TRACE, an_id, queued, told, webhook

SEQUENCE = itertools.count(1)


def frame(*outcomes: Record) -> Frame:
    return Frame(f"{NOW}-{next(SEQUENCE)}", pack_frame(outcomes))


def counts(url: str) -> tuple[int, int, int]:
    """Rows of deliveries, events and applied."""
    line = psql(url, "select (select count(*) from deliveries), (select count(*) from events), (select count(*) from applied)")
    rows, events, applied = line.split("|")
    return int(rows), int(events), int(applied)


async def seen(ledger: Ledger, notification: bytes) -> StoredNotification:
    found = await ledger.deliveries.get(notification)
    assert found is not None
    return found


async def test_a_life_told_in_one_batch_is_one_row_with_everything(ledger: Ledger, database_url: str) -> None:
    one = an_id()
    await ledger.applier.apply(
        1, [frame(queued(one)), frame(told(one, Status.SENT, extra=2)), frame(webhook(one, Status.DELIVERED, at_ms=NOW + 900))]
    )
    assert counts(database_url) == (1, 0, 3)
    found = await seen(ledger, one)
    assert (found.type, found.priority, found.klass) == ("order_confirmation", Priority.HIGH, Class.TRANSACTIONAL)
    assert (found.recipient_id, found.template, found.source) == ("ada", "order_confirmation_v1", "order-service")
    assert (found.accepted_ms, found.trace_id) == (NOW, TRACE)
    (delivery,) = found.deliveries
    assert (delivery.channel, delivery.status, delivery.attempts) == (Channel.EMAIL, Status.DELIVERED, 1)
    assert (delivery.provider, delivery.provider_message_id, delivery.units) == ("sendgrid", "msg-1", 2)
    assert (delivery.language, delivery.template_version) == ("de", 3)
    assert delivery.verdicts == (Verdict("consent", "allow", "transactional"), Verdict("route", "email", "default"))
    assert [(e.status, e.station, e.at_ms - NOW, e.attempt) for e in delivery.timeline] == [
        (Status.ACCEPTED, Station.GATEWAY, 0, 0),
        (Status.QUEUED, Station.DISPATCHER, 10, 0),
        (Status.SENDING, Station.SENDER, 50, 1),
        (Status.SENT, Station.SENDER, 100, 1),
        (Status.DELIVERED, Station.PROVIDER, 900, 1),
    ]


async def test_columns_say_what_the_row_knew(ledger: Ledger, database_url: str) -> None:
    one = an_id()
    await ledger.applier.apply(1, [frame(queued(one), told(one, Status.SENT, extra=2))])
    row = psql(
        database_url,
        "select notification_id, channel, priority, class, status, attempt, units, provider,"
        " extract(epoch from accepted_at) * 1000, extract(epoch from status_at) * 1000 from deliveries",
    )
    assert row == f"{format_id(one)}|1|2|1|5|1|2|sendgrid|{NOW}.000000|{NOW + 100}.000000"


async def test_a_replayed_frame_changes_nothing(ledger: Ledger, database_url: str) -> None:
    one, other = an_id(), an_id()
    frames = [frame(queued(one)), frame(told(one, Status.SENT)), frame(webhook(other, Status.DELIVERED))]
    await ledger.applier.apply(1, frames)
    before = counts(database_url), await seen(ledger, one)
    await ledger.applier.apply(1, frames)
    await ledger.applier.apply(1, frames[1:2])
    assert (counts(database_url), await seen(ledger, one)) == before


async def test_a_replayed_frame_among_new_ones_is_left_out(ledger: Ledger, database_url: str) -> None:
    one, other = an_id(), an_id()
    first = frame(queued(one))
    await ledger.applier.apply(1, [first])
    await ledger.applier.apply(1, [first, frame(queued(other))])
    assert counts(database_url) == (2, 0, 2)


async def test_partitions_and_waiting_streams_have_ids_of_their_own(ledger: Ledger, database_url: str) -> None:
    same = f"{NOW}-0"
    await ledger.applier.apply(1, [Frame(same, pack_frame([queued(an_id())]))])
    await ledger.applier.apply(2, [Frame(same, pack_frame([queued(an_id())]))])
    await ledger.applier.apply(1, [Frame(same, pack_frame([queued(an_id())]), waiting=True)])
    assert counts(database_url) == (3, 0, 3)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
async def test_outcomes_in_any_order_of_entries_give_the_same_answer(ledger: Ledger, order: tuple[int, ...]) -> None:
    one = an_id()
    life = [
        queued(one),
        told(one, Status.RETRYING, error_class=1, code="503"),
        told(one, Status.SENT, attempt=2, at_ms=NOW + 60_100, sending_ms=NOW + 60_000),
        webhook(one, Status.DELIVERED),
    ]
    for index in order:
        await ledger.applier.apply(1, [frame(life[index])])
        assert (await seen(ledger, one)).notification_id == one
    found = await seen(ledger, one)
    assert (found.type, found.recipient_id, found.klass) == ("order_confirmation", "ada", Class.TRANSACTIONAL)
    (delivery,) = found.deliveries
    assert [event.status.name for event in delivery.timeline] == [
        "ACCEPTED", "QUEUED", "SENDING", "RETRYING", "SENDING", "SENT", "DELIVERED",
    ]  # fmt: skip
    assert (delivery.status, delivery.attempts) == (Status.DELIVERED, 2)


async def test_without_its_first_outcome_a_notification_is_still_found(ledger: Ledger) -> None:
    one = an_id(NOW + 7, priority=Priority.CRITICAL)
    await ledger.applier.apply(1, [frame(webhook(one, Status.DELIVERED))])
    await ledger.applier.apply(1, [frame(told(one, Status.SENT, type="alarm", recipient_id="bob"))])
    found = await seen(ledger, one)
    assert (found.type, found.recipient_id, found.priority, found.klass) == ("alarm", "bob", Priority.CRITICAL, None)
    assert found.accepted_ms == NOW + 7
    assert [e.status for e in found.deliveries[0].timeline] == [
        Status.ACCEPTED,
        Status.SENDING,
        Status.SENT,
        Status.DELIVERED,
    ]


async def test_several_deliveries_of_one_notification(ledger: Ledger) -> None:
    one = an_id()
    push = [queued(one, channel=Channel.PUSH, device=device) for device in (0, 1)]
    await ledger.applier.apply(1, [frame(queued(one), *push, told(one, Status.FAILED, channel=Channel.PUSH, device=1))])
    found = await seen(ledger, one)
    assert [(d.channel, d.device, d.status) for d in found.deliveries] == [
        (Channel.EMAIL, 0, Status.QUEUED),
        (Channel.PUSH, 0, Status.QUEUED),
        (Channel.PUSH, 1, Status.FAILED),
    ]


async def test_suppressed_before_routing(ledger: Ledger) -> None:
    one = an_id()
    refused = queued(one, channel=0, status=Status.SUPPRESSED, queued_ms=0, code="overload", reason="low is shed first")
    await ledger.applier.apply(1, [frame(refused)])
    (delivery,) = (await seen(ledger, one)).deliveries
    assert (delivery.channel, delivery.status) == (None, Status.SUPPRESSED)
    assert (delivery.timeline[-1].code, delivery.timeline[-1].reason) == ("overload", "low is shed first")


async def test_a_frame_that_was_split_after_it_had_been_applied(ledger: Ledger, database_url: str) -> None:
    """A ledger that dies again and again after its commit: the frame comes again in single entries with new ids."""
    one, two, three = an_id(), an_id(), an_id()
    await ledger.applier.apply(1, [frame(queued(one), queued(two))])
    before = await seen(ledger, one)
    split = [Frame(f"{NOW}-{n}", pack_frame([queued(each)]), waiting=True) for n, each in enumerate((one, two))]
    await ledger.applier.apply(1, [*split, frame(queued(three))])
    assert await seen(ledger, one) == before
    assert counts(database_url)[0] == 3


async def test_concurrent_appliers_of_the_same_frames(ledger: Ledger, database_url: str) -> None:
    """Two processes both believe that they own the partition; each frame is applied by exactly one of them."""
    other = await Ledger.open(database_url)
    try:
        ids = [an_id(NOW + i) for i in range(60)]
        frames = [frame(queued(i), told(i, Status.SENT)) for i in ids]
        rng = random.Random(4)
        jobs = []
        for applier in (ledger.applier, other.applier) * 4:
            some = rng.sample(frames, 40)
            jobs.append(applier.apply(1, some))
        await asyncio.gather(*jobs, ledger.applier.apply(1, frames))
        assert counts(database_url) == (60, 0, 60)
    finally:
        await other.close()


async def test_concurrent_appliers_of_the_same_firsts_in_other_frames(ledger: Ledger, database_url: str) -> None:
    ids = [an_id(NOW + i) for i in range(50)]
    await asyncio.gather(*(ledger.applier.apply(1, [frame(*(queued(i) for i in ids))]) for _ in range(3)))
    assert counts(database_url) == (50, 100, 3)
    assert [event.status for event in (await seen(ledger, ids[0])).deliveries[0].timeline] == [Status.ACCEPTED, Status.QUEUED]


async def test_a_new_day_asked_for_by_several_at_once(database_url: str) -> None:
    """Ids of the same five days reach four processes that have none of their partitions."""
    ledgers = [await Ledger.open(database_url) for _ in range(4)]
    try:
        days = [NOW - back * DAY_MS for back in range(5)]
        ids = [[an_id(day) for day in days] for _ in ledgers]
        await asyncio.gather(
            *(one.applier.apply(n, [frame(*map(queued, mine))]) for n, (one, mine) in enumerate(zip(ledgers, ids, strict=True)))
        )
        assert counts(database_url)[0] == 20
        made = psql(database_url, "select count(*) from pg_inherits where inhrelid::regclass::text ~ '^deliveries_[0-9]{8}$'")
        assert made == "5"
    finally:
        for one in ledgers:
            await one.close()


@pytest.mark.parametrize(
    "at_ms",
    [
        pytest.param(0, id="1970: a clock without a battery"),
        pytest.param(1_577_836_799_999, id="the last millisecond of 2019"),
        pytest.param(1_577_836_800_000, id="the first of 2020"),
        pytest.param(NOW - 7 * DAY_MS, id="a week old"),
        pytest.param(NOW // DAY_MS * DAY_MS - 1, id="just before midnight"),
        pytest.param(NOW // DAY_MS * DAY_MS, id="midnight"),
        pytest.param(4_102_444_799_999, id="the last millisecond of 2099"),
        pytest.param((1 << 48) - 1, id="the last id of all"),
    ],
)
async def test_an_id_of_any_day_has_a_place(ledger: Ledger, at_ms: int) -> None:
    one = an_id(at_ms)
    await ledger.applier.apply(1, [frame(queued(one)), frame(told(one, Status.SENT))])
    assert (await seen(ledger, one)).deliveries[0].status == Status.SENT


async def test_a_partition_dropped_by_an_operator_is_made_again(ledger: Ledger, database_url: str) -> None:
    await ledger.applier.apply(1, [frame(queued(an_id()))])
    psql(database_url, "drop table deliveries_20231114")
    one = an_id()
    await ledger.applier.apply(1, [frame(queued(one))])
    assert (await seen(ledger, one)).deliveries[0].status == Status.QUEUED


async def test_partitions_are_made_ahead(ledger: Ledger, database_url: str) -> None:
    await ledger.partitions.ensure_ahead(NOW)
    for day in ("20231114", "20231115"):
        assert psql(database_url, f"select to_regclass('deliveries_{day}'), to_regclass('events_{day}')") == (
            f"deliveries_{day}|events_{day}"
        )


async def test_words_that_postgresql_cannot_hold(ledger: Ledger) -> None:
    one = an_id()
    reason = "nul \0 and " + "x" * 60_000
    await ledger.applier.apply(1, [frame(queued(one, recipient_id="a\0b", traceparent="nonsense"))])
    await ledger.applier.apply(1, [frame(told(one, Status.FAILED, reason=reason, attempt=65535, extra=4_000_000_000))])
    found = await seen(ledger, one)
    assert (found.recipient_id, found.trace_id) == ("a\ufffdb", "")
    last = found.deliveries[0].timeline[-1]
    assert last.reason.startswith("nul \ufffd and xxx") and len(last.reason) == 2000


async def test_a_refused_row_leaves_nothing_behind(ledger: Ledger, database_url: str) -> None:
    psql(database_url, "alter table deliveries add check (type <> 'forbidden')")
    bad, good = frame(queued(an_id(), type="forbidden")), frame(queued(an_id()))
    with pytest.raises(LedgerError) as refused:
        await ledger.applier.apply(1, [good, bad])
    assert not isinstance(refused.value, LedgerUnavailable)  # that would mean: try again, for ever
    assert counts(database_url) == (0, 0, 0)
    await ledger.applier.apply(1, [good])
    assert counts(database_url) == (1, 0, 1)


async def test_a_damaged_frame_leaves_nothing_behind(ledger: Ledger, database_url: str) -> None:
    good, bad = frame(queued(an_id())), frame(queued(an_id()))
    with pytest.raises(FrameError):
        await ledger.applier.apply(1, [good, bad._replace(outcomes=bad.outcomes[:-1])])
    with pytest.raises(ValueError, match="there is no status 77"):
        await ledger.applier.apply(1, [good, frame(queued(an_id(), status=77))])
    assert counts(database_url) == (0, 0, 0)


async def test_what_was_handled_is_counted_whether_it_was_applied_before_or_not(ledger: Ledger) -> None:
    frames = [frame(queued(an_id()), queued(an_id())), frame(told(an_id(), Status.SENT))]
    key = (Channel.EMAIL, Priority.HIGH)
    expected = {(*key, Status.QUEUED): {NOW: 2}, (*key, Status.SENT): {NOW: 1}}
    assert await ledger.applier.apply(1, frames[:1]) == {(*key, Status.QUEUED): {NOW: 2}}
    assert await ledger.applier.apply(1, frames) == expected


async def test_pruning_spares_what_was_applied_lately(ledger: Ledger, database_url: str) -> None:
    await ledger.applier.apply(1, [frame(queued(an_id())), frame(queued(an_id()))])
    await ledger.applier.prune()
    assert counts(database_url)[2] == 2
    psql(database_url, "update applied set applied_at = now() - interval '3 days' where entry_seq % 2 = 0")
    await ledger.applier.prune()
    assert counts(database_url)[2] == 1


async def test_no_frames_no_harm(ledger: Ledger, database_url: str) -> None:
    await ledger.applier.apply(1, [])
    assert counts(database_url) == (0, 0, 0)


async def test_days_are_not_vacuumed_for_what_was_inserted(ledger: Ledger, database_url: str) -> None:
    await ledger.applier.apply(1, [frame(queued(an_id()))])
    options = psql(
        database_url,
        "select distinct reloptions from pg_inherits join pg_class on oid = inhrelid"
        " where relkind = 'r' and relname ~ '_\\d{8}$'",
    )
    assert options == "{autovacuum_vacuum_insert_threshold=-1,autovacuum_analyze_scale_factor=1}"


async def test_days_are_sampled_little(ledger: Ledger, database_url: str) -> None:
    """Their columns and the expressions of their indexes: what is gathered most decides how many pages are read."""
    await ledger.applier.apply(1, [frame(*(queued(an_id(NOW + 256 * n), recipient_id=f"user-{n}") for n in range(200)))])
    (day,) = psql(database_url, "select distinct tableoid::regclass from deliveries").splitlines()
    psql(database_url, f"analyze {day}")
    bounds = psql(
        database_url,
        "select max(array_length(histogram_bounds::text::text[], 1)) from pg_stats where tablename in"
        f" (select '{day}' union select indexname from pg_indexes where tablename = '{day}') group by tablename",
    )
    assert bounds.splitlines() == ["11", "11", "11"]
