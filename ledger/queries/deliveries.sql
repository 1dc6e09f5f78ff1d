-- What became of notifications, see ledger/deliveries.py. The bounds beside `any(...)` tell the planner which days to read. Lists
-- walk the index of a word's hash; words of one hash are told apart by the words themselves.

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
select distinct notification_id from deliveries
where notification_id >= %(first)s and notification_id < %(end)s
order by notification_id desc
limit %(limit)s;

-- name: list_by_type
select distinct notification_id from deliveries
where hashtextextended(type, 0) = hashtextextended(%(type)s, 0) and type = %(type)s
    and notification_id >= %(first)s and notification_id < %(end)s
order by notification_id desc
limit %(limit)s;

-- name: list_by_recipient
select distinct notification_id from deliveries
where hashtextextended(recipient_id, 0) = hashtextextended(%(recipient_id)s, 0) and recipient_id = %(recipient_id)s
    and notification_id >= %(first)s and notification_id < %(end)s
    and (%(type)s = '' or type = %(type)s)
order by notification_id desc
limit %(limit)s;
