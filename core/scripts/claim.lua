-- Lays claim to marks: who comes first is written down, who comes later is told of him.
-- KEYS  hashes in which a mark that still holds may stand, by the time at which it ends
-- ARGV  1 now (ms), 2 in which of the hashes these claims end (from 1), 3 for how long that one is needed (ms),
--       4 bytes of a claim, 5 the claims, of different marks: mark (16 bytes), value, end (ms, 6 bytes, big endian) of each
-- Returns a flat list of two for each mark that is another's: place of the claim (from 0), value of the first comer
local MARK, END, AT_ONCE = 16, 6, 1000 -- unpack() takes some thousands
local now, home, width, claims = tonumber(ARGV[1]), KEYS[tonumber(ARGV[2])], tonumber(ARGV[4]), ARGV[5]
local sub, count, last = string.sub, #claims / width, width - MARK - END -- a value's last byte
local known, taken = {}, {}
for _, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then known[#known + 1] = key end
end
for start = 0, count - 1, AT_ONCE do
    local size = math.min(AT_ONCE, count - start)
    local marks, late, fresh = {}, {}, {}
    for i = 1, size do
        local at = (start + i - 1) * width
        marks[i] = sub(claims, at + 1, at + MARK)
    end
    for _, key in ipairs(known) do
        local found = redis.call('HMGET', key, unpack(marks))
        for i = 1, size do
            if found[i] and struct.unpack('>I6', found[i], last + 1) > now then
                local n = #taken
                late[i], taken[n + 1], taken[n + 2] = true, start + i - 1, sub(found[i], 1, last)
            end
        end
    end
    for i = 1, size do
        if not late[i] then
            local at, n = (start + i - 1) * width, #fresh
            fresh[n + 1], fresh[n + 2] = marks[i], sub(claims, at + MARK + 1, at + width)
        end
    end
    if #fresh > 0 then redis.call('HSET', home, unpack(fresh)) end
end
local needed = tonumber(ARGV[3])
if redis.call('PTTL', home) < needed then redis.call('PEXPIRE', home, needed) end -- never less: another host's clock may be behind
return taken
