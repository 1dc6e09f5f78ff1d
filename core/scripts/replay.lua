-- Takes a dead letter out of its stream and, if it is still there, hands on what is to come of it.
-- KEYS  1 dead-letter stream, 2.. streams to append to   ARGV  1 entry id, then a frame per KEYS[2..]
-- Returns 1; 0 if somebody else replayed or dropped it first, and then nothing was written.
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
for i = 2, #KEYS do
    redis.call('XADD', KEYS[i], '*', 'f', ARGV[i])
end
return 1
