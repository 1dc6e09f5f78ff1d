-- Claims entries that their consumer will not finish.
-- KEYS  1 stream, 2 progress hash
-- ARGV  group, consumer, then entry ids
-- Returns a flat list of four per entry: entry id, frame, deliveries, progress. Entries deleted meanwhile are left out.
local out = {}
for i = 3, #ARGV do
    local id = ARGV[i]
    local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id)
    if claimed[1] then
        local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)
        local n = #out
        out[n + 1], out[n + 2] = id, claimed[1][2][2]
        out[n + 3], out[n + 4] = pending[1][4], redis.call('HGET', KEYS[2], id) or ''
    end
end
return out
