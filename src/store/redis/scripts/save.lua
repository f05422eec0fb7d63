-- KEYS: the session. ARGV: the user, the session's id, state, milliseconds of retention, channel and text of the news if they go
-- out from here, and the version that it has to have if that matters. Gives the version that it has by this.
local _, id, state, retention, channel, news, over = unpack(ARGV)
local version = redis.call('HGET', KEYS[1], 'version')
if not version or (over and version ~= over) then
  return false
end
redis.call('HSET', KEYS[1], 'state', state)
redis.call('PEXPIRE', KEYS[1], retention)
note_use(id, 0, tonumber(retention))
if channel ~= '' then
  redis.call('PUBLISH', channel, news)
end
return redis.call('HINCRBY', KEYS[1], 'version', 1)
