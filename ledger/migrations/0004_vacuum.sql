-- Days are written once and dropped whole, so a vacuum of what was inserted reads and writes all of it for nothing: a microsecond
-- and more a row while it runs. It is left to the one against wraparound (200 million transactions, months at full load).
-- Statistics are gathered when a day has doubled, not with every tenth: each time reads 30,000 pages of it, marks what it read in
-- them and logs these whole, 50 bytes a row of a log of 470. They say how many rows a value has, which does not change that fast.
create or replace function make_day(day date) returns void
language plpgsql as $$
declare
    parent text;
    child text;
begin
    perform pg_advisory_xact_lock(hashtextextended('tidings.make_day', 0));
    foreach parent in array array['deliveries', 'events'] loop
        child := parent || to_char(day, '_YYYYMMDD');
        if to_regclass(child) is null then
            execute format(
                'create table %I (like %I including all) '
                'with (autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 1)',
                child, parent
            );
            execute format(
                'alter table %I attach partition %I for values from (%L) to (%L)',
                parent, child, first_id(day::timestamp at time zone 'UTC'), first_id((day + 1)::timestamp at time zone 'UTC')
            );
        end if;
    end loop;
end
$$;
