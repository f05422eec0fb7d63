-- KEYS: the format, this server. ARGV: the format that this server knows, and for how many milliseconds it lives.
local format = redis.call('GET', KEYS[1])
if format and tonumber(format) > tonumber(ARGV[1]) then
  return tonumber(format)
end
if not format then
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('SET', KEYS[2], '', 'PX', ARGV[2])
return tonumber(ARGV[1])
