-- Recipients, see ledger/recipients.py.

-- name: upsert
insert into recipients (recipient_id, email, phone, devices, language, timezone)
values (%(recipient_id)s, %(email)s, %(phone)s, %(devices)s::jsonb, %(language)s, %(timezone)s)
on conflict (recipient_id) do update set
    email = excluded.email,
    phone = excluded.phone,
    devices = excluded.devices,
    language = excluded.language,
    timezone = excluded.timezone,
    updated_at = now()
returning (extract(epoch from updated_at) * 1000)::bigint;

-- name: fetch
select recipient_id, email, phone, devices, language, timezone, (extract(epoch from updated_at) * 1000)::bigint
from recipients
where recipient_id = any(%(ids)s);

-- name: contacts
select recipient_id, email, phone, case when devices = '[]' then '' else devices::text end, language
from recipients
where recipient_id = any(%(ids)s);
