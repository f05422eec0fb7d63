-- KEYS: the session. ARGV: state, milliseconds of retention, channel and text of the news, and the version that it has to
-- have if that matters. Gives the version that it has by this.
local state, retention, channel, news, over = unpack(ARGV)
local version = redis.call('HGET', KEYS[1], 'version')
if not version or (over and version ~= over) then
  return false
end
redis.call('HSET', KEYS[1], 'state', state)
redis.call('PEXPIRE', KEYS[1], retention)
redis.call('PUBLISH', channel, news)
return redis.call('HINCRBY', KEYS[1], 'version', 1)
