-- What callers store: templates, recipients, API keys, the in-app inbox.
-- Keys are compared bytewise (collate "C"): the same order on every server, and cheaper.

create table templates (
    name text collate "C" not null,
    version integer not null check (version > 0), -- a version is never edited; put() adds one
    default_language text not null,
    variables jsonb not null, -- [[name, required], ...]
    contents jsonb not null, -- [[channel, language, {part: source}], ...], numbers of core.model
    created_at timestamptz not null default now(),
    primary key (name, version)
);

create table recipients (
    recipient_id text collate "C" primary key,
    email text not null,
    phone text not null,
    devices jsonb not null, -- [[platform, token], ...]
    language text not null,
    timezone text not null,
    updated_at timestamptz not null default now()
);

create table api_keys (
    key_id bigint generated always as identity primary key,
    hash bytea not null unique, -- sha256 of a key of 256 random bits: nothing to guess, so nothing to stretch
    name text not null,
    scopes text[] not null check (scopes <@ array['send', 'read', 'admin']),
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

create table inbox (
    recipient_id text collate "C" not null,
    notification_id uuid not null,
    arrival bigint generated always as identity, -- ids tell when a message was accepted, this tells in which order it came
    type text not null,
    title text not null,
    body text not null,
    action text not null,
    created_at timestamptz not null,
    read_at timestamptz,
    primary key (recipient_id, notification_id)
);

create index inbox_by_arrival on inbox (recipient_id, arrival);
create index inbox_unread on inbox (recipient_id, arrival) where read_at is null;
