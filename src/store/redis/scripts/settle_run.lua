-- Notes what became of a call, if it is the one that was claimed and still runs; without a state it is forgotten.
-- KEYS: the call, the calls of the user. ARGV: fingerprint, state, rest
local kept = redis.call('HMGET', KEYS[1], 'digest', 'state')
if kept[1] ~= ARGV[1] or kept[2] ~= 'running' then
    return 0
end
if ARGV[2] then
    redis.call('HSET', KEYS[1], 'state', ARGV[2], 'rest', ARGV[3])
else
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', KEYS[2], KEYS[1])
end
return 1
