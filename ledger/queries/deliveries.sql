-- What became of notifications, see ledger/deliveries.py. The bounds beside `any(...)` tell the planner which days to read. Lists
-- walk the index of a word's hash; words of one hash are told apart by the words themselves. They give an id once for each of its
-- rows, as nobody gathers statistics of a table of partitions: the planner takes any `distinct` for 200 rows, and reads a whole day.

-- name: rows
select
    notification_id, channel, device, (extract(epoch from accepted_at) * 1000)::bigint, template_version, priority, class,
    trace_id, type, recipient_id, template, language, source, outcomes, verdicts
from deliveries
where notification_id = any(%(ids)s) and notification_id between %(first)s and %(last)s;

-- name: events
select
    notification_id, channel, device, type, recipient_id,
    status, station, attempt, (extract(epoch from at) * 1000)::bigint,
    coalesce((extract(epoch from sending_at) * 1000)::bigint, 0), error_class, units, provider, provider_id, code, reason
from events
where notification_id = any(%(ids)s) and notification_id between %(first)s and %(last)s;

-- name: list_all
select notification_id from deliveries
where notification_id >= %(first)s and notification_id < %(end)s
order by notification_id desc
limit %(limit)s;

-- name: days
-- The partitions that a range of ids touches, newest first: each as the range of ids that it has.
select lower, upper
from pg_inherits
    join pg_class as part on part.oid = inhrelid
    cross join lateral pg_get_expr(relpartbound, part.oid) as bounds
    cross join lateral (
        select
            coalesce(substring(bounds from $$FROM \('([0-9a-f-]+)'\)$$)::uuid, '00000000-0000-0000-0000-000000000000'),
            coalesce(substring(bounds from $$TO \('([0-9a-f-]+)'\)$$)::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ) as range (lower, upper)
where inhparent = 'deliveries'::regclass and lower < %(end)s and upper > %(first)s
order by lower desc;

-- name: list_by_type
-- Of one partition: moments in the order of the index, the newest first, until those read have enough. The days are asked one by
-- one, as the planner does not know that their moments follow each other.
select notification_id from deliveries
where hashtext(type) = hashtext(%(type)s) and type = %(type)s
    and substr(uuid_send(notification_id), 1, 5) >= substr(uuid_send(%(first)s), 1, 5)
    and substr(uuid_send(notification_id), 1, 5) <= substr(uuid_send(%(end)s), 1, 5)
    and notification_id >= %(first)s and notification_id < %(end)s
order by substr(uuid_send(notification_id), 1, 5) desc, notification_id desc
limit %(limit)s;

-- name: list_by_recipient
-- Of one partition, `lower` to `upper`: its runs, found by a step in the index each, and what each has of the recipient. They are
-- asked for without the list's own bounds, as a step would walk through every row of a run that lies outside of them.
with recursive runs (run) as (
    (select run from deliveries where notification_id >= %(lower)s and notification_id < %(upper)s order by run limit 1)
    union all
    select (
        select row.run from deliveries as row
        where row.run > runs.run and notification_id >= %(lower)s and notification_id < %(upper)s
        order by row.run
        limit 1
    )
    from runs
    where runs.run is not null
)
select distinct found.notification_id
from runs cross join lateral (
    select distinct notification_id from deliveries
    where run = runs.run and hashtext(recipient_id) = hashtext(%(recipient_id)s) and recipient_id = %(recipient_id)s
        and notification_id >= %(first)s and notification_id < %(end)s
        and (%(type)s = '' or type = %(type)s)
    order by notification_id desc
    limit %(limit)s
) as found
order by found.notification_id desc
limit %(limit)s;
