-- Claims entries that their consumer will not finish.
-- KEYS  1 stream, 2 progress hash
-- ARGV  group, consumer, whose they are, then entry ids
-- Returns a flat list of four per entry: entry id, frame, deliveries, progress. Entries that were deleted or claimed by
-- somebody else meanwhile are left out.
local stream, progress = KEYS[1], KEYS[2]
local group, consumer, holder = ARGV[1], ARGV[2], ARGV[3]
local out = {}
for i = 4, #ARGV do
    local id = ARGV[i]
    local held = redis.call('XPENDING', stream, group, id, id, 1)[1]
    local claimed = held and held[2] == holder and redis.call('XCLAIM', stream, group, consumer, 0, id)
    if claimed and claimed[1] then
        local n = #out
        out[n + 1], out[n + 2] = id, claimed[1][2][2]
        out[n + 3], out[n + 4] = held[4] + 1, redis.call('HGET', progress, id) or '' -- XCLAIM counts the delivery
    end
end
return out
