-- The in-app inbox, see ledger/inbox.py.

-- name: lock
-- Arrival numbers are drawn before they are seen: without taking turns a reader could see 6, note it, and miss 5 for good.
-- A recipient belongs to one partition, so a lock for each partition is enough.
select pg_advisory_xact_lock(hashtextextended('tidings.inbox', partition))
from unnest(%(partitions)s::bigint[]) as partition
order by partition;

-- name: store
insert into inbox (recipient_id, notification_id, type, title, body, action, created_at)
select recipient_id, notification_id, type, title, body, action, to_timestamp(created_ms / 1000.0)
from unnest(
    %(recipient_id)s::text[], %(notification_id)s::uuid[], %(type)s::text[], %(title)s::text[], %(body)s::text[],
    %(action)s::text[], %(created_ms)s::bigint[]
) as item (recipient_id, notification_id, type, title, body, action, created_ms)
on conflict do nothing;

-- name: list
-- Newest first; a page ends before the message %(before)s.
select
    notification_id, recipient_id, type, title, body, action,
    (extract(epoch from created_at) * 1000)::bigint,
    coalesce((extract(epoch from read_at) * 1000)::bigint, 0)
from inbox
where recipient_id = %(recipient_id)s
    and (not %(unread_only)s or read_at is null)
    and (%(before)s::uuid is null or arrival < (
        select arrival from inbox where recipient_id = %(recipient_id)s and notification_id = %(before)s::uuid
    ))
order by arrival desc
limit %(limit)s;

-- name: after
-- Oldest first; an id that is not in this inbox stands for the last one accepted before it.
select
    notification_id, recipient_id, type, title, body, action,
    (extract(epoch from created_at) * 1000)::bigint,
    coalesce((extract(epoch from read_at) * 1000)::bigint, 0)
from inbox
where recipient_id = %(recipient_id)s
    and arrival > coalesce(
        (select arrival from inbox where recipient_id = %(recipient_id)s and notification_id = %(after)s),
        (select max(arrival) from inbox where recipient_id = %(recipient_id)s and notification_id < %(after)s),
        0
    )
order by arrival
limit %(limit)s;

-- name: mark_read
update inbox set read_at = to_timestamp(%(at_ms)s / 1000.0)
where recipient_id = %(recipient_id)s and notification_id = any(%(ids)s) and read_at is null
returning notification_id;

-- name: unread
select count(*) from inbox where recipient_id = %(recipient_id)s and read_at is null;

-- name: fetch
select
    notification_id, recipient_id, type, title, body, action,
    (extract(epoch from created_at) * 1000)::bigint,
    coalesce((extract(epoch from read_at) * 1000)::bigint, 0)
from inbox
where recipient_id = %(recipient_id)s and notification_id = any(%(ids)s);
