-- Ends an entry (or notes progress inside it) and hands on what came of it, in one atomic step.
-- KEYS  1 stream the entry is in, 2 progress hash, 3 waiting stream, 4 due set, 5.. streams to append to
--       Progress is of the base stream's entries: a waiting one is a single record, and may have the id of one of those.
-- ARGV  1 group, 2 consumer, 3 entry id, 4 progress bitmap ("" to end the entry), 5 how many appends,
--       then a frame per KEYS[5..], then per waiting item: frame, due (ms), attempts
-- Returns 1; 0 if the entry is not this consumer's any more, and then nothing was written.
local stream, progress, waiting, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, consumer, id, done = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local held = redis.call('XPENDING', stream, group, id, id, 1)
if #held == 0 or held[1][2] ~= consumer then return 0 end
-- A repeated call (its reply was lost) must not append again.
if done ~= '' and redis.call('HGET', progress, id) == done then return 1 end

local appends = tonumber(ARGV[5])
for i = 1, appends do
    redis.call('XADD', KEYS[4 + i], '*', 'f', ARGV[5 + i])
end
for i = 6 + appends, #ARGV, 3 do
    local item = redis.call('XADD', waiting, '*', 'f', ARGV[i])
    redis.call('XCLAIM', waiting, group, consumer, 0, item, 'FORCE', 'RETRYCOUNT', ARGV[i + 2], 'JUSTID')
    redis.call('ZADD', due, ARGV[i + 1], item)
end
if done ~= '' then
    redis.call('HSET', progress, id, done)
else
    redis.call('XACK', stream, group, id)
    redis.call('XDEL', stream, id)
    if stream == waiting then redis.call('ZREM', due, id) else redis.call('HDEL', progress, id) end
end
return 1
