-- Takes what a lane has to do next, strictly in the order of the given sources: first what is due, then what is new.
-- KEYS  per source: stream, waiting stream, due set
-- ARGV  group, consumer, now (ms), lease (ms), budget (records)
-- Returns a flat list of six per entry: source index (from 0), waiting (0/1), entry id, frame, deliveries, progress
local group, consumer = ARGV[1], ARGV[2]
local now, lease, budget = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local out = {}

local function records(frame) -- the frame's own count, see fastpath/layout.py
    if #frame < 8 then return 1 end
    return struct.unpack('<I4', frame, 5)
end

local function add(source, waiting, id, frame, deliveries, progress)
    local n = #out
    out[n + 1], out[n + 2], out[n + 3] = source, waiting, id
    out[n + 4], out[n + 5], out[n + 6] = frame, deliveries, progress
end

for base = 1, #KEYS, 3 do
    local stream, waiting, due = KEYS[base], KEYS[base + 1], KEYS[base + 2]
    local source = (base - 1) / 3
    local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, budget)
    for _, id in ipairs(ids) do
        -- XCLAIM counts the delivery; the new score is a lease: if this consumer dies, the entry falls due again.
        local claimed = redis.call('XCLAIM', waiting, group, consumer, 0, id, 'FORCE')
        if claimed[1] then
            redis.call('ZADD', due, now + lease, id)
            local pending = redis.call('XPENDING', waiting, group, id, id, 1)
            add(source, 1, id, claimed[1][2][2], pending[1][4], '') -- one record: what stands under its id is another's progress
            budget = budget - 1
        else
            redis.call('ZREM', due, id)
        end
    end
    local count = 1
    while budget > 0 do
        local reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>')
        if not reply then break end
        local entries = reply[1][2]
        local size = 1
        for _, entry in ipairs(entries) do
            size = records(entry[2][2])
            add(source, 0, entry[1], entry[2][2], 1, '')
            budget = budget - size
        end
        if #entries < count then break end
        count = math.max(1, math.floor(budget / size)) -- frames of one stream are of about one size
    end
    if budget <= 0 then break end
end
return out
