-- API keys, see ledger/apikeys.py.

-- name: create
insert into api_keys (hash, name, scopes) values (%(hash)s, %(name)s, %(scopes)s);

-- name: find
select key_id, name, scopes, (extract(epoch from created_at) * 1000)::bigint, 0
from api_keys
where hash = %(hash)s and revoked_at is null;

-- name: list
select
    key_id, name, scopes,
    (extract(epoch from created_at) * 1000)::bigint,
    coalesce((extract(epoch from revoked_at) * 1000)::bigint, 0)
from api_keys
order by key_id;

-- name: revoke
update api_keys set revoked_at = now() where key_id = %(key_id)s and revoked_at is null returning key_id;
