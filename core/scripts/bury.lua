-- Removes consumers of dead processes from a group, unless one still holds entries (they would be lost with it).
-- KEYS  stream   ARGV  group, then names of the living
-- Returns how many were removed.
local living = {}
for i = 2, #ARGV do living[ARGV[i]] = true end
local removed = 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local name, pending = info[2], info[4]
    if pending == 0 and not living[name] then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
        removed = removed + 1
    end
end
return removed
