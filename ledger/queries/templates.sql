-- Templates, see ledger/templates.py.

-- name: lock
-- Two puts of one name take turns, so that each gets a version of its own.
select pg_advisory_xact_lock(hashtextextended('tidings.template:' || %(name)s, 0));

-- name: put
insert into templates (name, version, default_language, variables, contents)
select %(name)s, coalesce(max(version), 0) + 1, %(default_language)s, %(variables)s::jsonb, %(contents)s::jsonb
from templates
where name = %(name)s
returning version, (extract(epoch from created_at) * 1000)::bigint;

-- name: get
-- Version 0 is the latest.
select name, version, default_language, variables, contents, (extract(epoch from created_at) * 1000)::bigint
from templates
where name = %(name)s and (%(version)s = 0 or version = %(version)s)
order by version desc
limit 1;

-- name: list
select distinct on (name)
    name, version, default_language, variables,
    (select jsonb_agg(content - 2 order by nr) from jsonb_array_elements(contents) with ordinality as c (content, nr)),
    (extract(epoch from created_at) * 1000)::bigint
from templates
where name > %(after_name)s
order by name, version desc
limit %(page_size)s;
