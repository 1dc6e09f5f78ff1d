-- Which migrations a database has.

-- name: lock
-- Until the transaction ends, however it ends.
select pg_advisory_xact_lock(hashtextextended('tidings.migrate', 0));

-- name: create_table
create table if not exists migrations (
    number integer primary key,
    name text not null,
    digest text not null,
    applied_at timestamptz not null default now()
);

-- name: exists
select to_regclass('migrations') is not null;

-- name: applied
select number, digest from migrations;

-- name: note
insert into migrations (number, name, digest) values (%s, %s, %s);
