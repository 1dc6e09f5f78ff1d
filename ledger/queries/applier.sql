-- Writing outcomes, see ledger/applier.py.

-- name: claim
-- Which of these entries are new. One that another transaction is writing is waited for, then it is not new.
insert into applied (entry_ms, entry_seq, partition, waiting)
select entry_ms, entry_seq, %(partition)s, waiting
from unnest(%(ms)s::bigint[], %(seq)s::bigint[], %(waiting)s::boolean[]) as entry (entry_ms, entry_seq, waiting)
order by entry_ms, entry_seq, waiting
on conflict do nothing
returning entry_ms, entry_seq, waiting;

-- name: copy_deliveries
-- What a row costs PostgreSQL in the whole path, of two million: 3.7 us for the row and the primary key (new ids meet at its right
-- edge), about 1 for by_type, 1.9 for by_recipient, in runs of 250,000 rows (ledger/runs.py); of a million, 2.8; with the recipient
-- first 4.2, and more with each million. A hash index on the recipient would cost less, but where one recipient has a great many
-- rows its every insert walks them all. COPY into the day's partition by name would save nothing
-- that can be measured, and would fill one that an operator has detached.
copy deliveries (
    notification_id, accepted_at, status_at, run, template_version, channel, device, priority, class, status, attempt, units,
    trace_id, type, recipient_id, template, language, source, provider, outcomes, verdicts
) from stdin (format binary);

-- name: copy_events
copy events (
    notification_id, at, sending_at, channel, device, status, station, attempt, error_class, units,
    type, recipient_id, provider, provider_id, code, reason
) from stdin (format binary);

-- name: written
-- Which deliveries of these notifications have their row already.
select notification_id, channel, device from deliveries
where notification_id = any(%(ids)s) and notification_id between %(first)s and %(last)s;

-- name: next_run
select nextval('runs');

-- name: make_day
select make_day(%s);

-- name: prune
-- Entries applied that long ago are settled and gone from Redis. The bound on the entry's own time makes this a range of the
-- primary key; the bound on applied_at spares what lay unread for days and was applied just now.
delete from applied
where entry_ms < extract(epoch from now() - %(age)s::interval) * 1000 and applied_at < now() - %(age)s::interval;
