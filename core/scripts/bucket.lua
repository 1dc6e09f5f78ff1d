-- Takes tokens from a bucket that fills at a steady rate; refusals by the provider slow it down, quiet time brings it back.
-- KEYS  bucket
-- ARGV  rate (tokens/s; 0 for an account without a limit), burst (tokens), reserve (tokens only critical ones may take),
--       wanted, critical (0/1), now (ms; 0 takes Redis' clock), slow down (0/1), own rate (tokens/s), own name,
--       what slowing down leaves of the rate
-- Without a limit there is no bucket until a refusal makes one: it begins at the rates that the processes say they had,
-- slowed down, feels its way up, and is gone when it is at four times of them.
-- Returns { granted, ms until there may be another, the rate now in force in thousandths of a token/s; 0 for none }
local rate, burst, reserve = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted, critical, now = tonumber(ARGV[4]), ARGV[5] == '1', tonumber(ARGV[6])
local slow, adaptive = ARGV[7] == '1', rate == 0
local least, most, growth = 0.05, 1, 0.02 -- of the rate; the growth by the second: back to full speed within 50 quiet ones
if now == 0 then
    local t = redis.call('TIME')
    now = t[1] * 1000 + t[2] / 1000
end
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'factor', 'slowed', 'seen')
local tokens, at = tonumber(state[1] or burst), tonumber(state[2] or now)
local factor, slowed = tonumber(state[3] or 1), tonumber(state[4] or 0)
now = math.max(now, at) -- a clock that was set back must not fill the bucket twice

if adaptive then
    rate, least, most, growth = tonumber(state[5] or 0), 0.01, 4, 0.05
    if slow and redis.call('HSETNX', KEYS[1], 'of:' .. ARGV[9], ARGV[8]) == 1 then
        rate = rate + tonumber(ARGV[8])
        redis.call('HSET', KEYS[1], 'seen', rate)
    end
    if rate == 0 then return { wanted, 0, 0 } end
end
if slow then
    if now - slowed >= 1000 then -- the refusals of one second are one piece of news
        factor, slowed, tokens = math.max(least, factor * tonumber(ARGV[10])), now, 0
    end
else
    factor = math.min(most, factor + (now - math.max(at, slowed)) / 1000 * growth)
end
local speed = rate * factor
if adaptive then
    if factor >= most then
        redis.call('DEL', KEYS[1])
        return { wanted, 0, 0 }
    end
    burst = math.max(1, math.ceil(speed))
    reserve = math.floor(burst / 5)
end
tokens = math.min(burst, tokens + (now - at) / 1000 * speed)
local floor = critical and 0 or math.min(reserve, burst - 1)
local granted = math.max(0, math.min(wanted, math.floor(tokens - floor)))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now, 'factor', factor, 'slowed', slowed)
redis.call('PEXPIRE', KEYS[1], 3600000)
local short = floor + 1 - tokens
local wait = short > 0 and math.ceil(short / speed * 1000) or 0
return { granted, wait, math.ceil(speed * 1000) }
