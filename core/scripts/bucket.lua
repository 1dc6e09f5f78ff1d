-- Takes tokens from a bucket that fills at a steady rate; refusals by the provider slow it down, quiet time brings it back.
-- KEYS  bucket
-- ARGV  rate (tokens/s), burst (tokens), reserve (tokens only critical ones may take), wanted, critical (0/1),
--       now (ms; 0 takes Redis' clock), slow down (0/1)
-- Returns { granted, ms until there may be another, the rate now in force in thousandths of a token/s }
local rate, burst, reserve = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted, critical, now = tonumber(ARGV[4]), ARGV[5] == '1', tonumber(ARGV[6])
if now == 0 then
    local t = redis.call('TIME')
    now = t[1] * 1000 + t[2] / 1000
end
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'factor', 'slowed')
local tokens, at = tonumber(state[1] or burst), tonumber(state[2] or now)
local factor, slowed = tonumber(state[3] or 1), tonumber(state[4] or 0)
now = math.max(now, at) -- a clock that was set back must not fill the bucket twice

if ARGV[7] == '1' then
    if now - slowed >= 1000 then -- the refusals of one second are one piece of news
        factor, slowed, tokens = math.max(0.05, factor / 2), now, 0
    end
else
    factor = math.min(1, factor + (now - math.max(at, slowed)) / 1000 * 0.02) -- back to full speed within 50 quiet seconds
end
local speed = rate * factor
tokens = math.min(burst, tokens + (now - at) / 1000 * speed)
local floor = critical and 0 or math.min(reserve, burst - 1)
local granted = math.max(0, math.min(wanted, math.floor(tokens - floor)))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now, 'factor', factor, 'slowed', slowed)
redis.call('PEXPIRE', KEYS[1], 3600000)
local short = floor + 1 - tokens
local wait = short > 0 and math.ceil(short / speed * 1000) or 0
return { granted, wait, math.floor(speed * 1000) }
