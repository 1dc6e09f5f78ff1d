-- What became of notifications. Codes are the numbers of core.model; ids are UUIDv7, so their order is the order of acceptance
-- and a day is a range of ids: partitions are ranges of ids, and an id alone says which one holds it.

-- The first id of a moment: `where notification_id >= first_id(now() - interval '1 hour')` reads only the days it must.
create function first_id(moment timestamptz) returns uuid
language sql immutable strict parallel safe
return rpad(lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid;

-- One row for each notification, channel and device; for the usual life of a delivery this is all that is ever written.
-- Columns of fixed width stand first, so that no byte is lost to alignment.
create table deliveries (
    notification_id uuid not null,
    accepted_at timestamptz not null,
    status_at timestamptz not null, -- of `status`
    template_version integer not null,
    channel smallint not null, -- 0: it ended before it was routed
    device smallint not null,
    priority smallint not null,
    class smallint not null,
    status smallint not null, -- as of the row's writing; `events` may know a later one
    attempt smallint not null,
    units smallint not null, -- billed units (SMS segments)
    trace_id uuid,
    type text collate "C" not null,
    recipient_id text collate "C" not null,
    template text not null,
    language text not null,
    source text not null,
    provider text not null,
    outcomes bytea not null, -- every outcome folded into this row, packed as fastpath/outcomes.py says
    verdicts text, -- JSON, see fastpath/layout.py
    primary key (notification_id, channel, device)
) partition by range (notification_id);

-- By 8 bytes each, not by the words: half the size, and a comparison is one of two numbers. Queries compare the words as well.
create index deliveries_by_recipient on deliveries (hashtextextended(recipient_id, 0), notification_id);
create index deliveries_by_type on deliveries (hashtextextended(type, 0), notification_id);

-- Outcomes that came after their delivery's row was written: late webhooks, retries, replays.
create table events (
    notification_id uuid not null,
    at timestamptz not null,
    sending_at timestamptz, -- when the attempt began, if this is the outcome of one
    channel smallint not null,
    device smallint not null,
    status smallint not null,
    station smallint not null,
    attempt smallint not null,
    error_class smallint not null,
    units smallint not null,
    type text, -- these two serve only as long as the delivery's row is missing
    recipient_id text,
    provider text not null,
    provider_id text not null,
    code text not null,
    reason text not null
) partition by range (notification_id);

create index events_by_id on events (notification_id);

-- Makes the partitions of one day (UTC). Callable at any time by any number of processes: the lock makes them take turns.
-- Create-then-attach lets others read and COPY meanwhile; `create table ... partition of` would lock them out.
create function make_day(day date) returns void
language plpgsql as $$
declare
    parent text;
    child text;
begin
    perform pg_advisory_xact_lock(hashtextextended('tidings.make_day', 0));
    foreach parent in array array['deliveries', 'events'] loop
        child := parent || to_char(day, '_YYYYMMDD');
        if to_regclass(child) is null then
            execute format('create table %I (like %I including all)', child, parent);
            execute format(
                'alter table %I attach partition %I for values from (%L) to (%L)',
                parent, child, first_id(day::timestamp at time zone 'UTC'), first_id((day + 1)::timestamp at time zone 'UTC')
            );
        end if;
    end loop;
end
$$;

-- Ids of a clock that is wrong by decades get no day of their own.
create table deliveries_before_2020 partition of deliveries for values from (minvalue) to ('016f5e66-e800-0000-0000-000000000000');
create table deliveries_after_2100 partition of deliveries for values from ('03bb2cc3-d800-0000-0000-000000000000') to (maxvalue);
create table events_before_2020 partition of events for values from (minvalue) to ('016f5e66-e800-0000-0000-000000000000');
create table events_after_2100 partition of events for values from ('03bb2cc3-d800-0000-0000-000000000000') to (maxvalue);

-- Which stream entries are in the ledger: written in the transaction of their rows, so that a replayed one changes nothing.
-- The time in an entry's id leads the key: inserts meet at its right edge, and pruning reads a range.
create table applied (
    entry_ms bigint not null,
    entry_seq bigint not null,
    partition smallint not null,
    waiting boolean not null, -- an entry of the waiting stream
    applied_at timestamptz not null default now(),
    primary key (entry_ms, entry_seq, partition, waiting)
);
