-- Keeps an output, and forgets the oldest of a user who has too many bytes.
-- KEYS: the output, the outputs of the user. ARGV: tool, json, milliseconds to keep it, bytes of a user at most
redis.call('HSET', KEYS[1], 'tool', ARGV[1], 'json', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
-- It is there already where this is a repeat, after the answer was lost.
redis.call('LREM', KEYS[2], 0, KEYS[1])
redis.call('LPUSH', KEYS[2], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local bytes = 0
for place, output in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    local own = redis.call('HSTRLEN', output, 'json')
    bytes = bytes + own
    -- One that has expired has no bytes.
    if own == 0 or bytes > tonumber(ARGV[4]) then
        redis.call('DEL', output)
        redis.call('LREM', KEYS[2], 0, output)
    end
end
return 1
