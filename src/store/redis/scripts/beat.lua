-- KEYS: the format, this server, the servers that live. ARGV: the format that this server knows, for how many milliseconds it lives,
-- and its name. Gives the format, and the servers that live.
local ttl = tonumber(ARGV[2])
local format = redis.call('GET', KEYS[1])
if format and tonumber(format) > tonumber(ARGV[1]) then
  return {tonumber(format), {}}
end
if not format then
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('SET', KEYS[2], '', 'PX', ttl)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[3], now, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - ttl)
redis.call('PEXPIRE', KEYS[3], ttl)
return {tonumber(ARGV[1]), redis.call('ZRANGE', KEYS[3], 0, -1)}
