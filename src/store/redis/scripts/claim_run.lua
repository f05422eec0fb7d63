-- Claims a call that runs once; gives what is kept of it where another has claimed it before.
-- KEYS: the call, the calls of the user. ARGV: fingerprint, state, rest, milliseconds to keep it, calls of a user at most, and what
-- no other claim has, by which a repeat of this one is told from it.
local kept = redis.call('HMGET', KEYS[1], 'digest', 'state', 'rest', 'claim')
if kept[1] then
    if kept[2] == ARGV[2] and kept[4] == ARGV[6] then
        return {}
    end
    return {kept[1], kept[2], kept[3]}
end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'state', ARGV[2], 'rest', ARGV[3], 'claim', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local time = redis.call('TIME')
redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000), KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local excess = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[5])
if excess > 0 then
    -- One that runs stays: forgotten, a repeat would run it again.
    for _, old in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
        if excess > 0 and redis.call('HGET', old, 'state') ~= 'running' then
            redis.call('DEL', old)
            redis.call('ZREM', KEYS[2], old)
            excess = excess - 1
        end
    end
end
return {}
