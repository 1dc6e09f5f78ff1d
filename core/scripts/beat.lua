-- A heartbeat, by Redis' own clock so that the clocks of hosts do not matter.
-- KEYS  members   ARGV  name, time to live (ms), time to forget (ms)
-- Returns the names of all living members, this one included.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
return redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[2], '+inf')
