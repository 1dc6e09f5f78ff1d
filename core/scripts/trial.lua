-- Notes that an entry is worked on alone now, or (without a delivery) that it is not.
-- KEYS  1 trials hash
-- ARGV  field, delivery ("" to end the trial), how long marks are kept (ms)
-- Returns the delivery in which it was on trial before, '' for none.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
else
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return before or ''
