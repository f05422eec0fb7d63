-- KEYS: the session. ARGV: state, milliseconds of retention, channel and text of the news, and the version that it has to
-- have if that matters. Gives the version that it has by this.
local state, retention, channel, news, over = unpack(ARGV)
local known = redis.call('HMGET', KEYS[1], 'version', 'workspace', 'user')
if not known[1] or (over and known[1] ~= over) then
  return false
end
redis.call('HSET', KEYS[1], 'state', state)
redis.call('PEXPIRE', KEYS[1], retention)
note_use(known[2], known[3], string.sub(KEYS[1], #'mcp:session:' + 1), 0, tonumber(retention))
redis.call('PUBLISH', channel, news)
return redis.call('HINCRBY', KEYS[1], 'version', 1)
